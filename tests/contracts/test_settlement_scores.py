"""A server computes the scores of a settlement once, however many call; what it keeps is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.settlement.called import called, served
from benchmarks.settlement.sealed import Sealed, sealed
from chaincode import report, scoring
from chaincode.contracts import settlement
from chaincode.shim.memory import Endorsement, endorse

SCHEME = ("paper", "dasgupta-ghosh")


@pytest.fixture
def small() -> Sealed:
    return sealed(*SCHEME, clients=6, tasks=16, alphabet=4)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time the scores are computed."""
    found: list[int] = []
    compute = scoring.settle

    def counting(*args: Any, **more: Any) -> Any:
        found.append(1)
        return compute(*args, **more)

    monkeypatch.setattr(scoring, "settle", counting)
    return found


def together(*calls: Callable[[], Any]) -> list[Endorsement]:
    async def all_at_once() -> list[Endorsement]:
        return await asyncio.gather(*(call() for call in calls))

    return asyncio.run(all_at_once())


def test_concurrent_callers_share_one_computation_and_sign_the_same(small: Sealed, runs: list[int]) -> None:
    server = served()
    answers = together(*[lambda: endorse(server, called(small))] * 20)
    assert {each.status for each in answers} == {200}
    assert len({each.to_bytes() for each in answers}) == 1
    assert len(runs) == 1


def test_a_call_with_wrong_bytes_is_refused_before_any_score_and_forgets_none(
    small: Sealed, runs: list[int]
) -> None:
    server = served()
    assert together(lambda: endorse(server, called(small)))[0].status == 200
    for name in small.transient:
        wrong = {**small.transient, name: bytes(len(small.transient[name]))}
        assert together(lambda wrong=wrong: endorse(server, called(small, wrong)))[0].status == 422
    assert together(lambda: endorse(server, called(small)))[0].status == 200
    assert len(runs) == 1


def test_other_inputs_are_other_scores_and_only_the_newest_are_kept(
    runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "KEPT", 2)
    server = served()
    rounds = [sealed(*SCHEME, clients=4, tasks=16, alphabet=4, seed=seed) for seed in range(3)]
    for made in rounds:
        together(lambda made=made: endorse(server, called(made)))
    assert len(runs) == 3
    together(lambda: endorse(server, called(rounds[2])))
    assert len(runs) == 3
    together(lambda: endorse(server, called(rounds[0])))
    assert len(runs) == 4


def test_a_computation_that_failed_is_tried_again(small: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    server = served()
    with monkeypatch.context() as broken:
        broken.setattr(scoring, "settle", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        assert together(lambda: endorse(server, called(small)))[0].status == 500
    assert together(lambda: endorse(server, called(small)))[0].status == 200


def test_a_settlement_unpacks_each_report_once(small: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports may come to 268 million bits in all, within a call's deadline."""
    unpack, unpacked = report.unpack, list[bytes]()
    monkeypatch.setattr(report, "unpack", lambda raw, *size: unpacked.append(raw) or unpack(raw, *size))
    assert together(lambda: endorse(served(), called(small)))[0].status == 200
    assert len(unpacked) == 6
