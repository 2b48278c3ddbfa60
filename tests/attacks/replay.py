"""Re-executing a recorded channel, as an auditor with the blocks and the content of the store would.

The endorser's clock of the time is not in the blocks. It only ever permits: a valid transaction was permitted,
so the replaying clock stands at the newest beacon that the chain has brought so far, this call's included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chaincode.beacon import Beacon
from chaincode.contracts import Consortium, keys, state
from chaincode.records import Reveal, RoundState, Witness
from chaincode.shim import Identity
from chaincode.shim.memory import Endorsement, MemoryStub, ReadWriteSet, WorldState, endorse
from fl_client.ledger.embedded import BlockRecord, TransactionRecord
from tests.world import ManualClock, World


class Replay:
    """A fresh server of the same settings on an empty state."""

    def __init__(self, world: World, store: Mapping[str, bytes]) -> None:
        self.state = WorldState()
        self._clock = ManualClock(0)
        self._server: Consortium = world.server(world.terms.organisations[0], self._clock)
        self._network, self._info, self._store = world.network, world.signer.info, store

    async def execute(self, blocks: Sequence[BlockRecord]) -> int:
        """Run every valid transaction again and apply what comes of it; each must be what was recorded."""
        count = 0
        for block in blocks:
            for place, record in enumerate(block.transactions):
                if record.code != "VALID":
                    continue
                answer = await self._endorse(record)
                assert answer.status == 200, (record.args[0], answer.message)
                recorded = (record.read_write_set, record.payload, record.event)
                assert (answer.read_write_set.to_bytes(), answer.payload, answer.event) == recorded, (
                    record.args[0]
                )
                self.state.apply(answer.read_write_set.writes, (block.number, place))
                count += 1
        return count

    async def _endorse(self, record: TransactionRecord) -> Endorsement:
        self._clock.time = max([self._clock.time, *map(self._info.time, _beacon_rounds(record.args))])
        stub = self._stub(record, {})
        stub = self._stub(record, await self._transient(record.args, stub))
        return await endorse(self._server, stub)

    def _stub(self, record: TransactionRecord, transient: Mapping[str, bytes]) -> MemoryStub:
        return MemoryStub(
            self.state,
            channel=self._network.channel,
            tx_id=record.tx_id,
            chaincode=self._network.chaincode,
            args=record.args,
            transient=transient,
            creator=Identity.parse(record.creator),
        )

    async def _transient(self, args: Sequence[bytes], stub: MemoryStub) -> dict[str, bytes]:
        """What is in no block: the reports, by the CIDs that are."""
        if args[0] == b"Rounds:reveal":
            return {"report": self._store[args[3].decode()]} if args[3] else {}
        if args[0] == b"Aggregation:reveal":
            return {"view": self._store[args[6].decode()]} if len(args) > 6 and args[6] else {}
        if args[0] not in (b"Settlement:settle", b"Aggregation:agree"):
            return {}
        job, round = args[1].decode(), int(args[2])
        current = await state.read(stub, keys.state(job, round), RoundState, "round")
        if args[0] == b"Aggregation:agree":
            return await self._views(stub, current)
        reveals = await state.under(stub, keys.reveal(job, round), Reveal)
        reports = {
            f"report/{member}": self._store[shown.report]
            for member, shown in reveals.items()
            if member not in current.set_aside and shown.report
        }
        return reports | ({"view": self._store[current.view]} if current.view else {})

    async def _views(self, stub: MemoryStub, current: RoundState) -> dict[str, bytes]:
        """Those of members whom more than half of the committee have not called missing."""
        place = current.job, current.round, current.attempt
        said = await state.under(stub, keys.witness(*place, ""), Witness)
        held = [
            m
            for m in current.voters
            if 2 * sum(m not in each.missing for each in said.values()) > len(current.committee)
        ]
        names = {m: msgspec.json.decode(await stub.get(keys.view(*place, m)) or b"", type=str) for m in held}
        return {f"view/{member}": self._store[name] for member, name in names.items()}


def apply_recorded(blocks: Sequence[BlockRecord]) -> WorldState:
    """The state that the recorded read-write sets of the valid transactions make."""
    made = WorldState()
    for block in blocks:
        for place, record in enumerate(block.transactions):
            if record.code == "VALID":
                writes = msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet).writes
                made.apply(writes, (block.number, place))
    return made


def _beacon_rounds(args: Sequence[bytes]) -> list[int]:
    found = []
    for raw in args[1:]:
        try:
            found.append(msgspec.json.decode(raw, type=Beacon).round)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found
