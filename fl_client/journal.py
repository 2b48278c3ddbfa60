"""A client's memory across crashes: what it is about to commit, on disk before it is on the chain."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from fl_client.errors import BadInput


class Prepared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One round's work, ready to commit and later to reveal. Secret until the reveal."""

    report: bytes
    update: bytes
    report_cid: str
    update_cid: str
    salt: bytes


class Journal:
    """One file a round under ``directory`` (mode 700, files 600), written whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def find(self, job: str, round: int) -> Prepared | None:
        """What was prepared for the round. BadInput: the file is damaged."""
        path = self._path(job, round)
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=Prepared)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as fault:
            raise BadInput(
                f"the journal {path} is damaged: {fault}",
                "Remove it if the round is over; what was committed cannot be revealed without it",
            ) from fault

    def keep(self, job: str, round: int, prepared: Prepared) -> None:
        """Write it through to the disk; raises BadInput when that fails (a full disk), and nothing is half-written."""
        path = self._path(job, round)
        try:
            handle, name = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.msgpack.encode(prepared))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError as fault:
            raise BadInput(f"cannot write the journal {path}: {fault.strerror}", "Free some space") from fault

    def _path(self, job: str, round: int) -> Path:
        return self._directory / f"{job}-{round:06d}.journal"
