"""What clients do, by name: one registry for the lab, the demo and a real client; coalitions and their channel."""

import json
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from fl_client import conduct
from fl_client.coalition import Channel
from fl_client.demo.native import NativeStage
from fl_client.demo.scenario import Scenario
from fl_client.errors import BadInput, CandorError
from fl_client.incentives.attackers import ATTACKERS, Coalition
from fl_client.incentives.world import Setting, World
from fl_client.participant import Share
from fl_client.training.behaviour import Honest, Work


@pytest.fixture(scope="module")
def works() -> list[Work]:
    """Three clients' first round, reports local-only."""
    world = World(Setting(clients=3, rounds=1, tasks=200, effort=60, seed=5))
    return [replace(world.bare(client, 1, world.trainer.initial()), local_only=True) for client in range(3)]


def together(name: str, works: list[Work], directory, turns: list[int] | None = None):
    """Everybody's model and report, played at the same time as on a network; started in the order of `turns`."""
    found = {}

    def play(place: int) -> None:
        playing = conduct.conduct(name, place, range(len(works)), directory)
        model = playing.train(works[place])
        found[place] = model, playing.infer(works[place], model)

    threads = [threading.Thread(target=play, args=(place,)) for place in turns or range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [found[place] for place in range(len(works))]


def test_a_client_on_a_network_can_play_every_attacker_of_the_lab() -> None:
    assert {"copy-global", "distilled-global", "exact-copies", "stale", "replay"} <= set(ATTACKERS)
    for name, kind in ATTACKERS.items():
        assert type(conduct.named(name)) is kind


def test_a_behaviour_of_ones_own_is_found_by_import_path() -> None:
    assert isinstance(conduct.named("fl_client.training.behaviour:Honest"), Honest)
    for wrong in (
        "lazy",
        "no.such:Thing",
        "fl_client.training.behaviour:seed",
        "fl_client.training.behaviour:Work",
    ):
        with pytest.raises(BadInput, match="behaviour"):
            conduct.named(wrong)


@pytest.mark.parametrize("turns", [[0, 1, 2], [2, 1, 0]])
def test_copiers_hand_in_what_their_colleague_gives_them(works, tmp_path, turns) -> None:
    (model, report), *others = together("exact-copies", works, tmp_path / "channel", turns)
    alone = Honest()
    assert np.array_equal(report, alone.infer(works[0], alone.train(works[0])))
    for copied, copy in others:
        assert np.array_equal(copy, report)
        assert all(np.array_equal(one, other) for one, other in zip(copied, model, strict=True))


def test_a_coalitions_reports_are_those_of_the_lab(works, tmp_path) -> None:
    honest = [Honest().infer(work, []) for work in works]
    for name in ("noisy-copies-10", "second-choices", "same-data", "shared-random"):
        played = [report for _, report in together(name, works, tmp_path / name)]
        plot = conduct.named(name)
        assert isinstance(plot, Coalition)
        assert all(map(np.array_equal, played, plot.reports(works, honest)))


def test_one_owner_plays_two_identities(works, tmp_path) -> None:
    (_, one), (_, other) = together("two-identities", works[:2], tmp_path)
    owned = conduct.named("two-identities").reports(works[:1], [])  # type: ignore[union-attr]
    assert np.array_equal(one, owned[0])
    assert np.array_equal(other, owned[1])


def test_only_the_accomplices_can_read_their_channel(tmp_path) -> None:
    channel = Channel(tmp_path / "channel")
    channel.put("word", [np.arange(3)])
    assert stat.S_IMODE((tmp_path / "channel").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "channel").iterdir()] == [0o600]
    assert channel.take("word")[0].tolist() == [0, 1, 2]


def test_a_word_that_does_not_come_ends_in_an_error(tmp_path) -> None:
    with pytest.raises(CandorError, match="from the coalition within"):
        Channel(tmp_path, patience=0.05).take("word")


def test_who_needs_no_private_data_gets_none(works) -> None:
    work = works[0]
    own, public = (work.x, work.y), work.batch
    for name in ("copy-global", "distilled-global", "random"):
        x, y = conduct.examples(conduct.named(name), own, public, work.trainer, work.weights)
        assert x is public
        assert np.array_equal(y, work.trainer.predict(work.weights, public))
    assert conduct.examples(Honest(), own, public, work.trainer, work.weights) is own


@pytest.mark.parametrize(
    "changes", [{}, {"channel": "here"}, {"coalition": [0, 1]}, {"coalition": [1, 2], "channel": "here"}]
)
def test_a_coalition_without_channel_or_place_is_refused(changes) -> None:
    share = msgspec.structs.replace(Share("digits", {}, 0, 6, behaviour="exact-copies"), **changes)
    with pytest.raises(BadInput, match="several clients who agree"):
        conduct.conduct(share.behaviour, share.client, share.coalition, share.channel or None)


def test_the_default_cast_has_a_copier_in_its_colleagues_organisation() -> None:
    parts = Scenario().parts
    assert [part.name for part in parts] == ["copied", "honest", "honest", "copier", "random", "data-10"]
    assert parts[0].coalition == parts[3].coalition == (0, 3)
    assert [part.name for part in Scenario(clients=4).parts] == ["honest", "honest", "random", "data-10"]


@pytest.mark.parametrize("mechanism", ["paper", "per-round"])
def test_where_reports_come_in_every_round_the_default_cast_copies_the_global_model(mechanism) -> None:
    assert [part.name for part in Scenario(mechanism=mechanism).parts][3:] == [
        "copy-global",
        "random",
        "data-10",
    ]


def test_a_cast_is_the_last_clients() -> None:
    cast = Scenario(
        clients=7, cheats=["shared-random", "shared-random", "stale", "tests.unit.test_conduct:Mine"]
    )
    assert [part.name for part in cast.parts][:3] == ["honest"] * 3
    assert cast.parts[-1].name == "Mine"
    assert [part.coalition for part in cast.parts] == [(), (), (), (3, 4), (3, 4), (), ()]


@pytest.mark.parametrize("cheats", [["lazy"], ["exact-copies"], ["honest"] * 3 + [""], ["random"] * 31])
def test_a_cast_that_cannot_be_played_is_refused(cheats) -> None:
    with pytest.raises(BadInput):
        Scenario(clients=max(6, len(cheats)), cheats=cheats)


class Mine(Honest):
    """Somebody's own, named by import path."""


def test_a_class_of_ones_own_is_found_by_the_demos_client_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lazy.py").write_text(
        "from fl_client.training.behaviour import Honest\nclass Lazy(Honest): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    network = SimpleNamespace(
        directory=tmp_path / "network", connection_files={"Org1MSP": tmp_path / "Org1MSP.json"}
    )
    clients = [
        (SimpleNamespace(organisation="Org1MSP"), SimpleNamespace(name=f"User{i}@org1.test"))
        for i in range(4)
    ]
    stage: Any = SimpleNamespace(network=network, _clients=clients)
    started = NativeStage._process(stage, Scenario(clients=4, cheats=["lazy:Lazy"]), 3)
    assert json.loads(str(started.argv[-1]))["behaviour"] == "lazy:Lazy"
    look = "from fl_client.conduct import named; named('lazy:Lazy')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", look],
        env=started.env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
