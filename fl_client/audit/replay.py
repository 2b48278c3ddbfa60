"""The replay: every block checked, every transaction of the chaincode run again on the state so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from chaincode.contracts import keys
from chaincode.shim.memory import ReadWriteSet, WorldState
from fl_client.audit.blocks import VALID, Block, Blocks, Transaction, verdict
from fl_client.audit.books import Books
from fl_client.audit.clock import Beacons, carried, genuine
from fl_client.audit.differences import beyond, differences, refused
from fl_client.audit.evidence import Evidence
from fl_client.audit.executor import Executor, acting_member, infos, record
from fl_client.audit.findings import HOSTILE, Class, Finding, Line, Totals
from fl_client.audit.unseen import Absent, on_trust

Writes = tuple[tuple[str, bytes | None], ...]
_REPLAYED = ("MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT")  # flags that follow from the order alone


@dataclass
class Replayed:
    """What a replay leaves behind: the chaincode's final state, its valid transactions, and what was found."""

    state: WorldState
    kind: str
    checks: tuple[str, ...]
    valid: list[Transaction] = field(default_factory=list)
    written: dict[str, dict[str, bytes | None]] = field(default_factory=dict)  # by transaction
    findings: list[Finding] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    totals: list[Totals] = field(default_factory=list)
    absent: list[tuple[Transaction, dict[str, str]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    transactions: int = 0
    executed: int = 0
    first_hash: str = ""
    last_hash: str = ""
    digest: str = ""  # of the state after the newest block


async def replay(evidence: Evidence, *, execute: bool = True) -> Replayed:
    """Go through all blocks; without `execute` only the recorded writes are applied."""
    replayer = _Replayer(evidence, execute)
    async for raw in evidence.blocks():
        await replayer.block(replayer.reader.read(raw))
    replayer.out.digest = replayer.out.state.digest()
    return replayer.out


class _Current(WorldState):
    """The state as it is, which nobody needs a copy of: a transaction has ended before anything is written."""

    def snapshot(self) -> WorldState:
        return self


class _Replayer:
    def __init__(self, evidence: Evidence, execute: bool) -> None:
        self.subject, self.execute = evidence.subject, execute
        self.reader: Blocks = self.subject.reader()
        self._states: dict[str, WorldState] = {self.subject.chaincode: _Current()}
        self._fresh: dict[str, set[str]] = {}  # by namespace, the keys that this block has written
        self.out = Replayed(self._states[self.subject.chaincode], self.reader.kind, tuple(self.reader.checks))
        self._executor = Executor(self.subject.chaincode, evidence.content)
        self._books, self._beacons = Books(), Beacons()

    async def block(self, block: Block) -> None:
        """One block: its own faults, then its transactions in order."""
        out = self.out
        out.findings += block.findings
        out.lines += [Line("channel", note, None, block.number) for note in block.notes]
        out.first_hash = out.first_hash or block.hash
        out.last_hash = block.hash
        out.blocks += 1
        self._beacons.saw(block.number, (), ())
        self._fresh.clear()
        for tx in block.transactions:
            try:
                await self._transaction(tx)
            except HOSTILE as fault:
                what = f"{tx.name} cannot be followed: {type(fault).__name__} {fault}"
                out.findings.append(tx.finding(Class.FORMAT, what[:400]))
        out.totals.append(self._books.totals(block.number))

    async def _transaction(self, tx: Transaction) -> None:
        self.out.transactions += 1
        self.out.findings += tx.findings
        counted = self._counts(tx)
        ours = tx.chaincode == self.subject.chaincode
        self.out.counts[(tx.name if ours else tx.chaincode) if counted else "invalid"] += 1
        if not counted:
            return
        self._foreign(tx, ours)
        writes = await self._again(tx) if ours and self.execute else None
        if ours:
            self.out.valid.append(tx)
        self._apply(tx, writes)

    def _counts(self, tx: Transaction) -> bool:
        """Whether the transaction's writes count, by our own judgement; a flag that differs is a finding.

        A forged transaction marked valid has its findings already. It is then replayed as if it were genuine,
        so that what was changed in it can be named, and what follows it still makes sense.
        """
        duplicate = tx.fault == "DUPLICATE_TXID"
        own = tx.fault if duplicate else self._verdict(tx)
        if tx.code == VALID:
            if own != VALID and not duplicate:
                what = (
                    "the transaction is marked valid, though what it read had changed before it was ordered"
                )
                self.out.findings.append(tx.finding(Class.VALIDITY, what, own, tx.code))
            return own == VALID
        own = tx.fault or own
        if own == VALID:
            what = "the transaction is marked invalid, though nothing is wrong with it"
            self.out.findings.append(tx.finding(Class.VALIDITY, what, own, tx.code))
        elif own != tx.code and (own in _REPLAYED or tx.code in _REPLAYED):
            what = "the transaction is invalid for another reason than it is marked with"
            self.out.findings.append(tx.finding(Class.VALIDITY, what, own, tx.code))
        return own == VALID

    def _verdict(self, tx: Transaction) -> str:
        judged = (
            verdict(self.reader, self._state(name), rwset, self._fresh.get(name, ()))
            for name, rwset in tx.rwsets.items()
        )
        return next((each for each in judged if each != VALID), VALID)

    def _foreign(self, tx: Transaction, ours: bool) -> None:
        for name, rwset in tx.rwsets.items():
            if rwset.writes and (name == self.subject.chaincode) != ours:
                what = f"a transaction of {tx.chaincode} writes into {name}"
                self.out.findings.append(tx.finding(Class.FOREIGN, what))

    async def _again(self, tx: Transaction) -> Writes | None:
        """Run it again and compare; returns our own writes when there are any."""
        state, rwset = self._state(tx.chaincode), tx.rwsets.get(tx.chaincode, ReadWriteSet())
        floor, beacons, known = (
            self._beacons.floor(rwset),
            carried(tx.args),
            infos(self._state(tx.chaincode), tx),
        )
        freshness = _freshness(state)
        try:
            own = await self._executor.run(tx, state, floor - freshness)
        except Absent as absent:
            self.out.absent.append((tx, absent.missing))
            trusted = on_trust(tx, acting_member(state, tx), absent.rwset)
            if trusted is None:
                self.out.findings += beyond(tx)
                return None
            own = trusted
        else:
            self.out.executed += 1
            if own.status >= 400:
                real = all(any(genuine(info, each) for info in known) for each in beacons)
                message = f"{own.status} {own.message}"
                self.out.findings.append(refused(tx, message, genuine=real or not known))
                return None
            self._beacons.saw(tx.block, infos(state, tx) or known, beacons)
        self.out.findings += differences(tx, own, self.reader.recorded(own.read_write_set))
        return own.read_write_set.writes

    def _apply(self, tx: Transaction, own: Writes | None) -> None:
        recorded = {name: rwset.writes for name, rwset in tx.rwsets.items()}
        for name, writes in (recorded if own is None else {**recorded, tx.chaincode: own}).items():
            state, mine = self._state(name), name == self.subject.chaincode
            self._fresh.setdefault(name, set()).update(key for key, _ in writes)
            if mine:
                self._book(tx, state, dict(writes))
            state.apply(writes, tx.version, tx.tx_id, tx.timestamp)

    def _book(self, tx: Transaction, state: WorldState, writes: Mapping[str, bytes | None]) -> None:
        self.out.written.setdefault(tx.tx_id, {}).update(writes)
        before = self._books.totals(tx.block)
        for key, new in writes.items():
            entry = state.get(key)
            self._books.write(key, entry.value if entry else None, new or None)
        after = self._books.totals(tx.block)
        if after.minted != after.held and after.minted - after.held != before.minted - before.held:
            what = "after it, what was minted and what is held are not equal"
            finding = tx.finding(Class.SUPPLY, what, str(after.minted), str(after.held))
            self.out.findings.append(finding)

    def _state(self, namespace: str) -> WorldState:
        return self._states.setdefault(namespace, WorldState())


def _freshness(state: WorldState) -> int:
    """F: how far an endorser's clock may be off."""
    terms = record(state, keys.CONSORTIUM) or {}
    return int(terms.get("freshness", 0))
