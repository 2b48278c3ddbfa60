"""One committee member's step 9 on a large model: what it reads, and how much memory it takes. A process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chaincode.records import RoundState
from chaincode.scoring import organisation
from fl_client import inside
from fl_client.beacon import DevBeacon
from fl_client.committee import Aggregator
from fl_client.journal import Journal
from fl_client.layers import duties
from fl_client.steps import Seat
from fl_client.store import DirectoryStore
from tests.contracts.panel import Panel
from tests.contracts.stage9 import Watch


class Task(msgspec.Struct, frozen=True):
    """What to aggregate: CIDs in the store at `store`, and what each organisation's updates come to."""

    strategy: str
    store: str
    model: str
    model_bytes: int
    updates: list[str]  # of the members in the order of their places: the organisations take turns
    insides: dict[str, inside.Inside]  # with places for members


class Taken(msgspec.Struct, frozen=True):
    """What it took, in bytes and seconds; `foreign` of what was read is of other organisations."""

    read: int
    foreign: int
    peak: int
    seconds: float
    result: str


class Counting(DirectoryStore):
    """Counts what is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read: dict[str, int] = {}

    async def get(self, cid: str, *, limit: int) -> bytes:
        data = await super().get(cid, limit=limit)
        self.read[cid] = self.read.get(cid, 0) + len(data)
        return data


async def measure(task: Task, scratch: Path) -> Taken:
    """Vote and answer as the first of the committee."""
    panel = await Panel.settled(
        len(task.updates),
        updates=dict(enumerate(task.updates)),
        model=task.model,
        model_bytes=task.model_bytes,
        strategy=task.strategy,
        max_participants=len(task.updates),
        round_pool=10**6,
        aggregate_seconds=10**4,
    )
    state = await panel.begin()
    me, store = state.committee[0], Counting(Path(task.store))
    if task.strategy == "two-layer":
        await _say(panel, task, state.committee, store)
    job, world = await panel.world.view.job("job"), panel.world
    assert job is not None
    beacons = DevBeacon(world.signer, Watch(world.clock))
    seat = Seat(panel.members[me], store, beacons, Journal(scratch), None, job)  # type: ignore[arg-type]
    store.read.clear()
    before, began = _reset(), time.perf_counter()
    result = await _answer(Aggregator(seat), panel, state)
    took, peak = time.perf_counter() - began, _status("VmHWM") - before
    owners = {cid: member for member, cid in zip(panel.members, task.updates, strict=True)}
    own = {cid for cid, member in owners.items() if organisation(member) == organisation(me)}
    own |= {task.model, task.insides[organisation(me)].partial}
    foreign = sum(count for cid, count in store.read.items() if cid not in own)
    return Taken(sum(store.read.values()), foreign, peak, took, result)


async def _answer(aggregator: Aggregator, panel: Panel, state: RoundState) -> str:
    """Its verdict, which the others share, and its answer."""
    await aggregator.vote(state)
    await panel.vote(state.committee[1:])
    state = await panel.move()
    await aggregator.commit(state)
    answer = aggregator.seat.journal.find_answer("job", state.round, state.attempt)
    assert answer is not None
    return answer.model_cid


async def _say(panel: Panel, task: Task, committee: list[str], store: DirectoryStore) -> None:
    """The other organisations have spoken before, and the other seats of what is their duty."""
    members, duty = list(panel.members), duties(committee, task.insides)
    for name, found in task.insides.items():
        cid = await store.put(_named(found, members).encode())
        own = next(member for member in members if organisation(member) == name)
        for speaker in {own, duty[name]} - {committee[0]}:
            if organisation(speaker) != organisation(committee[0]):
                await panel.members[speaker].submit("Aggregation:partial", "job", 1, name, cid)


def _named(found: inside.Inside, members: list[str]) -> inside.Inside:
    counted = sorted(members[int(place)] for place in found.counted)
    return msgspec.structs.replace(found, counted=counted)


def _reset() -> int:
    """Forget the peak so far; the resident bytes now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    lines: Mapping[str, str] = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    return int(lines[field].split()[0]) * 1024


def main(task: str, scratch: str) -> None:
    """Print a Taken as JSON."""
    done = asyncio.run(measure(msgspec.json.decode(task, type=Task), Path(scratch)))
    print(msgspec.json.encode(done).decode())
