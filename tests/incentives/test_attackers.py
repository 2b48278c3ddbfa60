"""Every attacker of the list plays; what the worthless ones earn under each mechanism is as it should be."""

import numpy as np
import pytest

from chaincode import lightcheck
from fl_client.incentives.attackers import ATTACKERS, Attacker, Coalition, attacker
from fl_client.incentives.evaluate import Scheme, Stage
from fl_client.incentives.world import Setting, World
from fl_client.training.behaviour import Honest
from fl_client.training.parameters import subtract

SCHEMES = [
    Scheme("qualify-and-vest", "dasgupta-ghosh"),
    Scheme("per-round", "matched-blocks"),
    Scheme("paper", "dasgupta-ghosh"),
]


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(World(Setting(rounds=3, seed=77)), SCHEMES)


@pytest.fixture(scope="module")
def ratios(stage: Stage):
    """attack → scheme → pay ÷ the mean honest pay, whole job."""
    honest = {key: np.mean(np.sum(pay, 0)) for key, pay in stage.honest().pay.items()}

    def of(name: str) -> dict[str, float]:
        played = stage.attack(name, 0, 2).attacker
        return {scheme.mechanism: sum(played[str(scheme)]) / honest[str(scheme)] for scheme in stage.schemes}

    return of


def test_the_documented_list_is_there() -> None:
    assert len(ATTACKERS) == 48
    for kind in ATTACKERS.values():
        assert kind.__doc__
        assert issubclass(kind, Attacker | Coalition)


@pytest.mark.parametrize("name", sorted(ATTACKERS))
@pytest.mark.parametrize("local_only", [True, False])
def test_it_reports_symbols_for_every_task_and_repeats_itself(
    stage: Stage, name: str, local_only: bool
) -> None:
    playing, world = attacker(name), stage.world
    base = stage.reports(True) if local_only else stage.reports(False)
    for number in (1, 3):
        works = [
            world.work(c, number, world.honest, local_only=local_only, reports=base[: number - 1])
            for c in range(2)
        ]

        def made(playing=playing, works=works, number=number):
            if isinstance(playing, Coalition):
                size = playing.size or 2
                return playing.reports(works[:size], base[number - 1][:size])
            return [playing.infer(works[0], playing.train(works[0]))]

        one, two = made(), made()
        assert len(one) == (1 if not isinstance(playing, Coalition) else (playing.size or 2) + playing.extra)
        for report, again in zip(one, two, strict=True):
            assert report.shape == (world.setting.tasks,)
            assert np.issubdtype(report.dtype, np.integer)
            assert 0 <= report.min() <= report.max() < world.alphabet
            assert np.array_equal(report, again)


@pytest.mark.parametrize("name", ["random", "constant", "copy-global", "distilled-global", "revealed-labels"])
def test_without_private_data_qualify_and_vest_pays_next_to_nothing(ratios, name: str) -> None:
    assert abs(ratios(name)["qualify-and-vest"]) < 0.1


def test_copying_the_global_model_pays_under_the_paper_and_not_under_matched_blocks(ratios) -> None:
    found = ratios("copy-global")
    assert found["paper"] > 0.7
    assert abs(found["per-round"]) < 1e-9


def test_exact_copies_share_one_pay_where_the_others_pay_two(ratios) -> None:
    found = ratios("exact-copies")
    assert found["qualify-and-vest"] < 1.1
    assert found["paper"] > 1.7
    assert found["per-round"] > 1.7


def test_a_null_update_loses_every_tranche_but_the_first(ratios) -> None:
    assert ratios("null-update")["qualify-and-vest"] == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("replayed-update", [True, False, False]),
        ("disguised-update", [True, False, False]),  # noise no longer hides an old update
        ("copied-update", [False, False, False]),
        ("extrapolated-update", [False, False, False]),
        ("revealed-update", [False, True, True]),  # trained on public labels: that is work, of a sort
        ("short-update", [True, True, True]),
        ("reshaped-update", [True, True, False]),
        ("distilled-update", [True, True, True]),  # public, and no work of anybody's: the check cannot tell
        ("half-poisoner", [True, True, True]),  # what is left as it was carries what is turned around
    ],
)
def test_which_updates_pass_for_honest_where_labels_are_even(
    stage: Stage, name: str, valid: list[bool]
) -> None:
    assert [0 in each for each in stage.world.federate({0: attacker(name)}).valid] == valid


def test_under_strong_skew_one_added_noise_vector_defeats_the_light_check() -> None:
    world = World(Setting(split=".1", rounds=3, seed=77))
    assert [0 in each for each in world.federate({0: attacker("disguised-update")}).valid] == [True] * 3


def test_honest_clients_pass_the_light_check(stage: Stage) -> None:
    assert all(valid == frozenset(range(6)) for valid in stage.world.honest.valid)


def test_a_poisoner_is_refused_and_the_model_is_as_good_as_without_it(stage: Stage, ratios) -> None:
    world = stage.world
    poisoned = world.federate({0: attacker("poisoner")})
    assert [0 in each for each in poisoned.valid] == [False] * 3
    clean, harmed = (
        world.trainer.accuracy(f.models[-1], *world.problem.held_out()) for f in (world.honest, poisoned)
    )
    assert harmed > clean - 0.03
    assert ratios("poisoner")["qualify-and-vest"] == pytest.approx(1 / 3, abs=0.05)


def test_where_labels_are_skewed_less_of_the_own_ones_earns_more_than_honest_work() -> None:
    world = Stage(World(Setting(split=".5", rounds=1, seed=77)), SCHEMES[:1])
    [honest] = world.honest().pay[str(SCHEMES[0])]
    gains = [world.attack("reweighted", place, 2).attacker[str(SCHEMES[0])][0] for place in range(6)]
    assert sum(gains) > 1.05 * sum(honest)


def test_copies_tuned_to_look_as_alike_as_the_honest_are_paid_as_two(ratios) -> None:
    found = ratios("tuned-copies")["qualify-and-vest"]
    assert found > 1.5 > ratios("noisy-copies-30")["qualify-and-vest"]


def test_an_honest_local_report_does_not_depend_on_the_global_model(stage: Stage) -> None:
    world = stage.world
    early, late = (
        world.work(2, 2, f, local_only=True)
        for f in (world.honest, world.federate({0: attacker("poisoner")}))
    )
    assert not np.array_equal(early.weights[0], late.weights[0])
    assert np.array_equal(Honest().infer(early, []), Honest().infer(late, []))


class Liar(Attacker):
    """Somebody's own attacker, named by import path."""

    needs_data = False

    def infer(self, work, weights):
        return np.zeros(len(work.batch), np.int64)


def test_ones_own_attacker_plays_by_import_path(stage: Stage) -> None:
    played = stage.attack("tests.incentives.test_attackers:Liar", 1, 2)
    assert set(played.attacker["paper/dasgupta-ghosh"]) == {0.0}
    assert (played.place, played.replaced) == (1, [1])


def test_sketches_of_updates_are_what_the_committee_would_see(stage: Stage) -> None:
    """The lab uses the chaincode's light check on the very updates."""
    world = stage.world
    work = world.work(0, 1, world.honest, local_only=False)
    update = subtract(Honest().train(work), work.weights)
    assert lightcheck.verdicts({"0": lightcheck.sketch(update)}, {}) == {"0": None}
