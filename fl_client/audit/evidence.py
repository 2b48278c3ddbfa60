"""What an auditor has: blocks, content by CID, and which job it is about."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from chaincode.beacon import BeaconInfo
from fl_client.audit.blocks import Blocks
from fl_client.audit.embedded import EmbeddedBlocks
from fl_client.audit.findings import Class, Finding
from fl_client.errors import CandorError, Corrupt, NotStored, TooLarge
from fl_client.ledger.base import Ledger
from fl_client.store.base import Store

Kind = Literal["fabric", "embedded"]
LIMIT = 2**30  # bytes of one content: the largest model a job may have


@dataclass(frozen=True)
class Subject:
    """Which job is audited, and where it ran. `organisations`: of an embedded network, which has no config."""

    job: str
    kind: Kind
    channel: str
    chaincode: str
    organisations: tuple[str, ...] = ()

    def reader(self) -> Blocks:
        """A reader of the ledger's blocks."""
        if self.kind == "embedded":
            return EmbeddedBlocks(self.channel, self.chaincode, self.organisations)
        from fl_client.audit.fabric import FabricBlocks

        return FabricBlocks(self.channel)


class Evidence(ABC):
    """Blocks and content; `findings` is what is wrong with the evidence itself."""

    subject: Subject
    findings: list[Finding]
    beacon: BeaconInfo | None = None  # as the evidence says; the chain's own is what counts
    exported_for: str = ""  # the job whose content the evidence holds, where it says so

    @abstractmethod
    def blocks(self) -> AsyncIterator[bytes]:
        """Every block from the first on."""

    @abstractmethod
    async def content(self, cid: str) -> bytes | None:
        """The bytes behind a CID; None when they are not to be had. Bytes that do not hash to it are a finding."""


class Watched(Evidence):
    """Evidence that says how far it has been read: after two seconds, and then every five."""

    def __init__(
        self, evidence: Evidence, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.subject, self.findings, self.beacon = evidence.subject, evidence.findings, evidence.beacon
        self.exported_for = evidence.exported_for
        self._evidence, self._say, self._clock = evidence, say, clock
        self._next, self._blocks, self._contents = clock() + 2, 0, 0

    async def blocks(self) -> AsyncIterator[bytes]:
        async for raw in self._evidence.blocks():
            self._blocks += 1
            self._tell()
            yield raw

    async def content(self, cid: str) -> bytes | None:
        self._contents += 1
        self._tell()
        return await self._evidence.content(cid)

    def _tell(self) -> None:
        if self._clock() >= self._next:
            self._next = self._clock() + 5
            self._say(f"read so far: {self._blocks} blocks, {self._contents} contents")


class LiveEvidence(Evidence):
    """From a running network: one peer's blocks and the store, neither of which is trusted."""

    def __init__(self, job: str, ledger: Ledger, store: Store | None) -> None:
        kind: Kind = "fabric" if type(ledger).__name__ == "FabricLedger" else "embedded"
        self.subject = Subject(job, kind, ledger.channel, ledger.chaincode, tuple(ledger.organisations))
        self.findings = []
        self._ledger, self._store = ledger, store
        self._known: dict[str, bytes | None] = {}

    def blocks(self) -> AsyncIterator[bytes]:
        return self._ledger.blocks()

    async def content(self, cid: str) -> bytes | None:
        if cid not in self._known:
            self._known[cid] = await self._get(cid)
        return self._known[cid]

    async def _get(self, cid: str) -> bytes | None:
        if self._store is None:
            return None
        try:
            return await self._store.get(cid, limit=LIMIT)
        except Corrupt as fault:
            self.findings.append(Finding(Class.CONTENT, str(fault), found=cid))
        except (NotStored, TooLarge):
            pass
        except CandorError as fault:
            if not fault.what.startswith("not a CID"):
                raise
        return None
