"""`candor export`: everything an audit of a job needs, in one file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from chaincode.beacon import BeaconInfo
from chaincode.contracts import keys
from chaincode.records import Job
from chaincode.shim.memory import WorldState
from fl_client.audit.archive import Writer, free
from fl_client.audit.contents import LAST, needs
from fl_client.audit.evidence import Evidence, Subject
from fl_client.audit.replay import Replayed, replay
from fl_client.errors import BadInput


class Exported(NamedTuple):
    """What the file holds, and what could not be had."""

    blocks: int
    contents: int
    missing: list[str]


async def export(evidence: Evidence, path: Path, *, overwrite: bool = False) -> Exported:
    """Write the evidence of a job. Raises: BadInput when the chain has no such job, or the file exists."""
    free(path, overwrite=overwrite)
    raws = [raw async for raw in evidence.blocks()]
    replayed = await replay(_Fixed(evidence, raws), execute=False)
    job, missing, contents = evidence.subject.job, list[str](), 0
    if replayed.state.get(keys.job(job)) is None:
        raise no_such_job(evidence.subject, replayed.state)
    with Writer(path) as writer:
        for number, raw in enumerate(raws):
            writer.block(number, raw)
        wanted = {need.cid: need for need in sorted(needs(replayed.state, job)) if need.cid}
        for cid, need in sorted(wanted.items()):
            data = await evidence.content(cid)
            if data is not None:
                writer.content(cid, data)
                contents += 1
            elif need.required:
                missing.append(f"{need.what} ({cid})")
        writer.manifest(evidence.subject, beacon_of(replayed, job))
    return Exported(len(raws), contents, missing)


def no_such_job(subject: Subject, state: WorldState) -> BadInput:
    """What to say to whoever names a job that the channel has not."""
    jobs = [key.partition("/")[2] for key, _ in state.items(keys.job(""), keys.job("") + LAST)]
    known = f"It has: {', '.join(jobs[:12])}{', …' if len(jobs) > 12 else ''}" if jobs else "It has none"
    return BadInput(f"there is no job {subject.job!r} on channel {subject.channel}", known)


def beacon_of(replayed: Replayed, job: str) -> BeaconInfo | None:
    """The chain of beacons that the job pins."""
    entry = replayed.state.get(keys.job(job))
    try:
        return msgspec.json.decode(entry.value, type=Job).beacon if entry else None
    except (ValueError, RecursionError):
        return None


class _Fixed(Evidence):
    """Evidence whose blocks have been fetched already: a running chain grows while it is read."""

    def __init__(self, evidence: Evidence, raws: list[bytes]) -> None:
        self.subject, self.findings = evidence.subject, evidence.findings
        self._evidence, self._raws = evidence, raws

    async def blocks(self) -> AsyncIterator[bytes]:
        for raw in self._raws:
            yield raw

    async def content(self, cid: str) -> bytes | None:
        return await self._evidence.content(cid)
