"""`candor demo --embedded` as a user runs it: who earns what by default, under `paper`, and in a cast of one's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from fl_client.results import JobResult

pytestmark = [pytest.mark.training, pytest.mark.timeout(900)]
CAST = "exact-copies,noisy-copies-10,exact-copies,noisy-copies-10,replayed-update,distilled-global"


def demo(out: Path, *options: str) -> JobResult:
    """The command in a process of its own; what it printed, decoded strictly."""
    argv = [
        *(sys.executable, "-m", "fl_client.cli", "demo", "--embedded", "--json", "--out", str(out)),
        *options,
    ]
    done = subprocess.run(argv, capture_output=True, check=False, env={**os.environ, "COLUMNS": "100"})
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=JobResult, strict=True)


AGREED = ("--mechanism", "per-round", "--aggregation", "optimistic")


@pytest.fixture(scope="module")
def vested(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobResult, Path]:
    out = tmp_path_factory.mktemp("vested")
    return demo(out, "--rounds", "3"), out


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobResult, Path]:
    out = tmp_path_factory.mktemp("paper")
    return demo(out, "--rounds", "3", "--mechanism", "paper"), out


def members(result: JobResult, behaviour: str) -> list[str]:
    return [client.member for client in result.clients if client.behaviour == behaviour]


def honest_mean(result: JobResult) -> float:
    """What the honest earned who were not copied."""
    honest = members(result, "honest")
    return sum(map(result.earned, honest)) / len(honest)


def test_everybody_is_scored_once_and_paid_in_every_round(vested: tuple[JobResult, Path]) -> None:
    result, _ = vested
    assert result.mechanism == "qualify-and-vest"
    first, *later = result.rounds
    assert all(outcome.score is not None for outcome in first.outcomes.values())
    for each in later:
        for member, outcome in each.outcomes.items():
            assert (outcome.score, outcome.norm) == (None, 0)
            if member not in members(result, "random"):
                assert abs(outcome.payment - first.outcomes[member].payment) <= 1, "the dither"


def test_pay_follows_what_clients_did(vested: tuple[JobResult, Path]) -> None:
    result, _ = vested
    honest = honest_mean(result)
    (lazy,), (guessing,) = members(result, "data-10"), members(result, "random")
    assert honest > 3 * 0.6 * 10_000, "three rounds at a score of .6 or more"
    assert 0 < result.earned(lazy) < 0.9 * honest
    assert result.earned(guessing) < 0.03 * honest
    assert all(each.outcomes[guessing].payment == 0 for each in result.rounds[1:]), (
        "a zero update is not valid"
    )


def test_who_copies_a_colleague_halves_the_pay_of_both(vested: tuple[JobResult, Path]) -> None:
    result, _ = vested
    sharing = [client for client in result.clients if result.shared(client.member)]
    assert sorted(client.behaviour for client in sharing) == ["copied", "copier"]
    assert len({client.organisation for client in sharing}) == 1, "both of one organisation"
    assert {o.sharing for o in result.rounds[0].outcomes.values()} == {0, 2}
    assert sum(result.earned(client.member) for client in sharing) <= 1.05 * honest_mean(result)


def test_the_model_learns_and_no_token_is_lost(vested: tuple[JobResult, Path]) -> None:
    result, _ = vested
    assert result.supply.minted == result.supply.held > 0
    assert len(result.accuracy) == 4
    assert result.accuracy[-1] > result.accuracy[0] + 0.4


def test_table_and_picture_say_who_earned_what(vested: tuple[JobResult, Path]) -> None:
    _, out = vested
    text = " ".join((out / "table.txt").read_text().split())
    for part in (
        "mechanism qualify-and-vest",
        "Org1MSP, copier",
        "the honest earned",
        "who used a tenth of its data 0.",
        "exact-copies, 2 clients together: ",
        "shared one pay",
        "✓",
    ):
        assert part in text
    assert re.search(r"who answered at random -?0\.0\d", text), "its noise, of either sign"
    assert (out / "rounds.png").read_bytes().startswith(b"\x89PNG")


def test_under_the_papers_mechanism_who_copies_the_global_model_profits_and_the_output_says_so(
    paper: tuple[JobResult, Path],
) -> None:
    result, out = paper
    (copier,) = members(result, "copy-global")
    honest = members(result, "honest")
    assert len(honest) == 3
    last = result.rounds[-1].outcomes
    assert last[copier].payment > 0.9 * sum(last[member].payment for member in honest) / len(honest)
    text = " ".join((out / "table.txt").read_text().split())
    assert "mechanism paper pays whoever copies the public model" in text
    assert "who copied the global model (no data, no training) " in text
    assert "in round 3 who copied it earned" in text
    assert all(outcome.score is not None for each in result.rounds for outcome in each.outcomes.values())
    assert result.supply.minted == result.supply.held


def test_where_the_committee_agrees_on_views_who_copies_the_global_model_earns_exactly_nothing(
    tmp_path: Path,
) -> None:
    result = demo(tmp_path, "--rounds", "2", "--mechanism", "per-round")
    (copier,) = members(result, "copy-global")
    assert [each.outcomes[copier].score for each in result.rounds] == [0, 0]
    assert result.accuracy[1] > result.accuracy[0], "in round 2 there is a model worth copying"
    for each in result.rounds:
        assert all(each.outcomes[member].payment > 500 for member in members(result, "honest"))
    assert "who copies that model earns nothing" in " ".join((tmp_path / "table.txt").read_text().split())


def test_a_seed_decides_data_model_and_training(vested: tuple[JobResult, Path], tmp_path: Path) -> None:
    """Not the draws: those come from beacons, and keys are new in every run."""
    again = demo(tmp_path, "--rounds", "1")
    assert again.accuracy[0] == vested[0].accuracy[0]
    assert again.accuracy[1] == pytest.approx(vested[0].accuracy[1], abs=0.01)
    assert [client.behaviour for client in again.clients] == [c.behaviour for c in vested[0].clients]


def test_coalitions_share_one_pay_and_who_has_no_data_earns_none(tmp_path: Path) -> None:
    result = demo(tmp_path, "--rounds", "2", "--clients", "9", "--cast", CAST)
    honest = honest_mean(result)
    for kind in ("exact-copies", "noisy-copies-10"):
        together = [client.member for client in result.clients if client.coalition == kind]
        assert len(together) == 2
        assert all(result.shared(member) for member in together)
        assert sum(map(result.earned, together)) < 1.1 * honest
    (distiller,), (replaying,) = members(result, "distilled-global"), members(result, "replayed-update")
    assert abs(result.earned(distiller)) < 0.1 * honest
    first, second = (each.outcomes[replaying].payment for each in result.rounds)
    assert first > 0
    assert second == 0, "its own old update, found on the chain, is not valid again"


def test_attackers_learn_from_what_earlier_rounds_revealed(tmp_path: Path) -> None:
    result = demo(tmp_path, "--rounds", "2", "--mechanism", "paper", "--cast", "stale,revealed-labels")
    second = result.rounds[1].outcomes
    (stale,), (learned,) = members(result, "stale"), members(result, "revealed-labels")
    honest = sum(second[member].payment for member in members(result, "honest")) / 4
    assert second[learned].payment > 0.4 * honest, "trained on the others' first reports"
    assert second[stale].payment < 0.2 * honest, "its own first report is about other tasks"


@pytest.mark.parametrize(
    "options", [("--mechanism", "none"), ("--cast", "lazy"), ("--cast", "exact-copies"), AGREED]
)
def test_what_cannot_be_played_is_said_at_once(options: tuple[str, ...], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "fl_client.cli", "demo", "--embedded", "--out", str(tmp_path), *options]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
