"""A client's memory across crashes: what it is about to commit, on disk before it is on the chain."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from fl_client import durable
from fl_client.errors import BadInput


class Prepared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One round's work, ready to commit and later to reveal; without reports, those of both fields are empty.
    Secret until the reveal."""

    report: bytes
    update: bytes
    report_cid: str
    update_cid: str
    salt: bytes


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a committee member has committed to in one attempt to aggregate. Secret until the reveal."""

    model_cid: str
    salt: bytes
    view: bytes = b""  # its own of that model, where the job agrees on views: floats may differ another time


T = TypeVar("T", bound=msgspec.Struct)


class Journal:
    """One file a round under ``directory`` (mode 700, files 600), written whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def find(self, job: str, round: int) -> Prepared | None:
        """What was prepared for the round. BadInput: the file is damaged."""
        return self._read(self._path(job, round), Prepared)

    def keep(self, job: str, round: int, prepared: Prepared) -> None:
        """Write it through to the disk; raises BadInput when that fails (a full disk), and nothing is half-written."""
        self._write(self._path(job, round), prepared)

    def find_answer(self, job: str, round: int, attempt: int) -> Answer | None:
        """What was answered in the attempt. BadInput: the file is damaged."""
        return self._read(self._path(job, round, f"-answer-{attempt}"), Answer)

    def keep_answer(self, job: str, round: int, attempt: int, answer: Answer) -> None:
        """As ``keep``."""
        self._write(self._path(job, round, f"-answer-{attempt}"), answer)

    @staticmethod
    def _read(path: Path, kind: type[T]) -> T | None:
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as fault:
            raise BadInput(
                f"the journal {path} is damaged: {fault}",
                "Remove it if the round is over; what was committed cannot be revealed without it",
            ) from fault

    @staticmethod
    def _write(path: Path, record: msgspec.Struct) -> None:
        try:
            durable.write(path, msgspec.msgpack.encode(record))
        except OSError as fault:
            raise BadInput(f"cannot write the journal {path}: {fault.strerror}", "Free some space") from fault

    def _path(self, job: str, round: int, suffix: str = "") -> Path:
        return self._directory / f"{job}-{round:06d}{suffix}.journal"
