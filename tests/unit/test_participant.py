"""A client that cannot take part says so at once, and says it once."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fl_client import participant, steps
from fl_client.errors import BadInput, Refused
from fl_client.participant import Share, take_part

NOTHING = Share("nosuch:Problem", {}, 0, 6)


def begin(directory: Path, register: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a client that works on nothing to its end; what the event loop had to complain about besides."""
    complaints: list[str] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said["message"]))
        none: Any = None
        try:
            async with asyncio.timeout(60):
                await take_part(none, none, none, directory / "journal", "job", NOTHING)
        except Refused:
            if left := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(left)

    monkeypatch.setattr(participant, "registered", register)
    asyncio.run(scene())
    gc.collect()
    return complaints


def test_a_share_that_cannot_be_worked_on_is_told_before_there_is_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(BadInput, match="nosuch"):
        begin(tmp_path, never, monkeypatch)


def test_of_two_reasons_to_end_one_is_told_and_the_other_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_: object) -> None:
        raise Refused(403, "not allowed")

    assert begin(tmp_path, refused, monkeypatch) == []


def test_a_journal_that_cannot_be_kept_ends_it_before_it_registers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal").write_text("a file is in the way")

    async def registers(_: object) -> None:
        pytest.fail("registered")

    with pytest.raises(FileExistsError):
        begin(tmp_path, registers, monkeypatch)


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        ([0] * 19, r"int64 of shape \(19,\), not 20 integers"),
        ([0] * 19 + [10], "labels 0 to 10, not 0 to 9"),
        ([0] * 19 + [-1], "labels -1 to 0, not 0 to 9"),
        ([0.0] * 20, "float64"),
    ],
)
def test_a_report_that_could_not_be_revealed_is_never_committed(symbols: list[int], said: str) -> None:
    """Its reveal would be refused, and the whole lock lost."""
    conduct = SimpleNamespace(infer=lambda work, weights: np.array(symbols))
    seat: Any = SimpleNamespace(
        learner=SimpleNamespace(conduct=conduct), job=SimpleNamespace(spec=SimpleNamespace(alphabet=10))
    )
    work: Any = SimpleNamespace(batch=np.zeros((20, 2)))
    none: Any = None
    with pytest.raises(BadInput, match=said):
        asyncio.run(steps.infer(seat, none, work, []))
