"""A client's journal: whole or not at all, for the client alone, and never taken for empty when it is damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from fl_client.errors import BadInput
from fl_client.journal import Answer, Journal, Prepared

WORK = Prepared(b"report", b"update", "report's CID", "update's CID", bytes(32))
OTHER = Prepared(b"another", b"update", "report's CID", "update's CID", bytes(range(32)))
ANSWER = Answer("model's CID", bytes(range(32)), b"view")


def test_what_was_prepared_is_found_after_a_crash_each_round_and_attempt_apart(tmp_path: Path) -> None:
    Journal(tmp_path).keep("job", 1, WORK)
    Journal(tmp_path).keep_answer("job", 1, 2, ANSWER)
    restarted = Journal(tmp_path)
    assert restarted.find("job", 1) == WORK
    assert restarted.find_answer("job", 1, 2) == ANSWER
    for job, round, attempt in (("job", 2, 2), ("other", 1, 2), ("job", 1, 1)):
        assert restarted.find_answer(job, round, attempt) is None
    assert restarted.find("job", 2) is None is restarted.find("other", 1)


def test_salts_are_for_the_client_alone(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "journal"
    Journal(place).keep("job", 1, WORK)
    Journal(place).keep_answer("job", 1, 1, ANSWER)
    assert place.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in place.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: b"\xc1" + data,
        lambda data: msgspec.msgpack.encode(msgspec.msgpack.decode(data) | {"of a later version": 1}),
    ],
)
def test_a_damaged_record_is_said_and_not_taken_for_none(tmp_path: Path, damage: object) -> None:
    """Whoever takes it for none prepares the round anew, and cannot reveal what it has committed to."""
    journal = Journal(tmp_path)
    journal.keep("job", 1, WORK)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(BadInput, match=f"{file}.*is damaged.*Remove it if the round is over"):
        journal.find("job", 1)


def test_a_full_disk_is_said_and_leaves_what_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.keep("job", 1, WORK)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"No space left.*Free some space"):
            journal.keep("job", 1, OTHER)
    assert journal.find("job", 1) == WORK
    assert len(list(tmp_path.iterdir())) == 1, "what could not be written takes no room"
