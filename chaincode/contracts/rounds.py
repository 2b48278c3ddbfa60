"""A round from open to seal: its windows, commits and reveals (docs/protocol.md, steps 0 to 7).

Only phase changes write the round's state key; everything a member does writes keys of its own,
so that members never conflict with each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import msgspec

from chaincode import cid, commitment, draw, report, scoring
from chaincode import view as views
from chaincode.beacon import Beacon
from chaincode.contracts import keys, state, time
from chaincode.contracts.job_terms import MAX_SLOTS
from chaincode.contracts.jobs import end_round
from chaincode.contracts.settings import EndorserClock
from chaincode.contracts.token import Postings
from chaincode.encoding import canonical, domain
from chaincode.mtpp import View
from chaincode.records import (
    CreditIds,
    Hex32,
    Job,
    Lock,
    Member,
    Name,
    Phase,
    Reveal,
    RoundNumber,
    RoundState,
)
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Forbidden, Invalid, NotFound, TooEarly, Unprocessable

CidText = Annotated[str, msgspec.Meta(max_length=128)]
Content = TypeVar("Content")
replace = msgspec.structs.replace


class Rounds(Contract):
    """Opening, committing, closing, pairing, revealing, sealing."""

    def __init__(self, clock: EndorserClock) -> None:
        self._clock = clock

    @transaction
    async def open(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Step 0, anyone: fix the model, the commit deadline and the beacon that draws the batch."""
        record = await state.governed(stub, job)
        if round > record.spec.rounds:
            raise Unprocessable(f"job {job!r} has {record.spec.rounds} rounds", round=round)
        if await state.exists(stub, keys.state(job, round)):
            raise Conflict(f"round {round} is open already")
        if await state.exists(stub, keys.cancelled(job)):
            raise Unprocessable(f"job {job!r} is cancelled")
        previous = await self._previous(stub, record, round)
        opened = self._fresh(record, beacon)
        return await self._enter(
            stub,
            RoundState(
                job=job,
                round=round,
                phase=Phase.COMMIT,
                model=previous.result if previous else record.spec.model,
                view=(previous.next_view or previous.view) if previous else record.spec.public_view,
                batch_round=beacon.round + record.spec.gap,
                deadline=opened + record.spec.commit_seconds,
                qualification=previous.qualification if previous else 0,
            ),
        )

    @transaction
    async def commit(
        self, stub: Stub, job: Name, round: RoundNumber, digest: Hex32, credits: CreditIds
    ) -> None:
        """Step 3, a registered client on the roster: the digest of its report, with stake and bond locked."""
        member = await state.caller(stub)
        terms = await state.admitted(stub, member.msp_id)
        record, current = await self._in(stub, job, round, Phase.COMMIT)
        time.not_past(current.deadline, self._clock, "the commit window")
        self._check_eligible(stub, record, current, member)
        if await state.exists(stub, keys.lock(job, round, member.id)):
            raise Conflict("this member has committed already; the first commit stands")
        await self._take_slot(stub, record, round, member, len(terms.organisations))
        spec = record.spec
        postings = Postings(stub, f"{job}/{round}")
        await postings.spend(member.id, credits, spec.lock, "lock", job)
        lock = Lock(digest=digest, stake=spec.stake, bond=spec.bond)
        await state.write(stub, keys.lock(job, round, member.id), lock)

    @transaction
    async def close(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Step 4, anyone: the whole roster has committed, or the deadline has passed. Fixes the participants."""
        record, current = await self._in(stub, job, round, Phase.COMMIT)
        now = self._fresh(record, beacon)
        if now < current.deadline and not await self._complete(stub, record, round):
            raise TooEarly("the commit window is open and the roster incomplete", deadline=current.deadline)
        closed = replace(
            current, phase=Phase.CLOSED, deadline=0, pairing_round=beacon.round + record.spec.gap
        )
        return await self._enter(stub, closed)

    @transaction
    async def pair(
        self, stub: Stub, job: Name, round: RoundNumber, pairing: Beacon, beacon: Beacon
    ) -> RoundState:
        """Step 5, anyone: bring the pairing beacon. Opens the reveal; or extends or voids a round too small."""
        record, current = await self._in(stub, job, round, Phase.CLOSED)
        if current.extensions and pairing.round < current.pairing_round:
            raise Conflict("the round has been closed again since", pairing_round=current.pairing_round)
        randomness = time.drawn(record.beacon, current.pairing_round, pairing)
        now = self._fresh(record, beacon)
        locks = await state.under(stub, keys.lock(job, round), Lock)
        spec = record.spec
        if len(locks) < spec.min_participants:
            return await self._too_few(stub, record, current, locks, now)
        if len(locks) > spec.max_participants:
            kept = draw.draw(
                draw.seed("stay", self._domain(stub, current), bytes.fromhex(randomness)),
                sorted(locks),
                spec.max_participants,
            )
            await self._refund(stub, current, {m: lock for m, lock in locks.items() if m not in set(kept)})
        return await self._enter(
            stub,
            replace(
                current,
                phase=Phase.REVEAL,
                deadline=now + spec.reveal_seconds,
                extensions=0,
                pairing_randomness=randomness,
            ),
        )

    @transaction(transient=("report",))
    async def reveal(
        self, stub: Stub, job: Name, round: RoundNumber, report_cid: CidText, update_cid: CidText, salt: Hex32
    ) -> None:
        """Step 6, a participant: open the commit; the report's bytes come beside it and never enter a block.

        In a round without reports the report's CID is empty and nothing comes beside it.
        """
        member = await state.acting(stub)  # suspended or gone since: its round ends as it began
        record, current = await self._in(stub, job, round, Phase.REVEAL)
        lock = await state.find(stub, keys.lock(job, round, member.id), Lock)
        if lock is None:
            raise Forbidden("this member is not a participant of the round")
        if await state.exists(stub, keys.reveal(job, round, member.id)):
            raise Conflict("this member has revealed already")
        opened = commitment.digest(
            self._domain(stub, current), member.id, report_cid, update_cid, bytes.fromhex(salt)
        )
        if opened.hex() != lock.digest:
            raise Unprocessable("the commit's digest is of something else")
        if scoring.reports_in(record.spec, current):
            check_report(record, report_cid, stub.transient.get("report"))
        else:
            _check_no_report(report_cid, stub.transient)
        _check_cid(update_cid, "update")
        shown = Reveal(report=report_cid, update=update_cid, salt=salt)
        await state.write(stub, keys.reveal(job, round, member.id), shown)

    @transaction
    async def seal(self, stub: Stub, job: Name, round: RoundNumber, beacon: Beacon) -> RoundState:
        """Step 7, anyone: all have revealed, or the deadline has passed. Fixes the reports."""
        record, current = await self._in(stub, job, round, Phase.REVEAL)
        now = self._fresh(record, beacon)
        participants = await state.under(stub, keys.lock(job, round), Lock)
        revealed = [m for m in participants if await state.exists(stub, keys.reveal(job, round, m))]
        if len(revealed) < len(participants) and now < current.deadline:
            raise TooEarly("the reveal window is open", deadline=current.deadline)
        if 2 * len(revealed) <= len(participants) and current.extensions < record.spec.extensions:
            longer = now + record.spec.reveal_seconds
            return await self._enter(
                stub, replace(current, deadline=longer, extensions=current.extensions + 1)
            )
        sealed = replace(
            current,
            phase=Phase.SEALED,
            deadline=0,
            sealed_at=now,
            sampling_round=beacon.round + record.spec.gap,
        )
        return await self._enter(stub, sealed)

    @query
    async def get(self, stub: Stub, job: Name, round: RoundNumber) -> RoundState:
        """The round's state."""
        return await state.round_state(stub, job, round)

    @query
    async def participants(self, stub: Stub, job: Name, round: RoundNumber) -> list[str]:
        """Who has committed, sorted: fixed from close on, the same list from every honest peer."""
        return sorted(await state.under(stub, keys.lock(job, round), Lock))

    @query
    async def reveals(self, stub: Stub, job: Name, round: RoundNumber) -> dict[str, Reveal]:
        """The opened commits by member."""
        return await state.under(stub, keys.reveal(job, round), Reveal)

    # what the steps share

    def _fresh(self, job: Job, beacon: Beacon) -> int:
        return time.fresh(job.beacon, job.freshness, self._clock, beacon)

    @staticmethod
    def _domain(stub: Stub, current: RoundState) -> bytes:
        return domain(stub.channel, stub.chaincode, current.job, current.round)

    @staticmethod
    async def _in(stub: Stub, job: str, round: int, phase: Phase) -> tuple[Job, RoundState]:
        return await in_phase(stub, job, round, phase)

    @staticmethod
    async def _enter(stub: Stub, entered: RoundState) -> RoundState:
        await state.write(stub, keys.state(entered.job, entered.round), entered)
        announce(stub, entered)
        return entered

    @staticmethod
    async def _previous(stub: Stub, job: Job, round: int) -> RoundState | None:
        """The round before, which must be over; None before the first."""
        if round == 1:
            return None
        previous = await state.find(stub, keys.state(job.id, round - 1), RoundState)
        if previous is None:
            raise NotFound(f"round {round - 1} is not open yet")
        if not previous.phase.over:
            raise TooEarly(f"round {round - 1} is in phase {previous.phase}", phase=previous.phase)
        return previous

    @staticmethod
    def _check_eligible(stub: Stub, job: Job, current: RoundState, member: Member) -> None:
        spec = job.spec
        if spec.allow_list is not None and member.id not in spec.allow_list:
            raise Forbidden("the member is not on the job's allow-list", member=member.id)
        aggregation = spec.aggregation_seconds(job.beacon.period)
        end = current.deadline + spec.reveal_seconds + spec.missing_seconds + aggregation
        if stub.creator.not_after <= end:
            raise Forbidden("the certificate ends before the round does: renew it", needed_until=end)

    @staticmethod
    async def _take_slot(stub: Stub, job: Job, round: int, member: Member, organisations: int) -> None:
        """One of the organisation's places, from a hashed start on; a race for the same one is a conflict.

        Organisations admitted since the job began must not make a round larger than a transaction can read.
        """
        places = min(job.spec.max_members_per_org, MAX_SLOTS // organisations)
        start = int.from_bytes(hashlib.sha256(member.id.encode()).digest()[:8], "big")
        for step in range(places):
            key = keys.slot(job.id, round, member.msp_id, (start + step) % places)
            if not await state.exists(stub, key):
                return await state.write(stub, key, member.id)
        raise Unprocessable(f"{member.msp_id} has its {places} members in this round already")

    @staticmethod
    async def _complete(stub: Stub, job: Job, round: int) -> bool:
        if job.spec.allow_list is None:
            return False
        for member in job.spec.allow_list:
            if not await state.exists(stub, keys.lock(job.id, round, member)):
                return False
        return True

    async def _too_few(
        self, stub: Stub, job: Job, current: RoundState, locks: dict[str, Lock], now: int
    ) -> RoundState:
        if current.extensions < job.spec.extensions:
            longer = now + job.spec.commit_seconds
            return await self._enter(
                stub,
                replace(current, phase=Phase.COMMIT, deadline=longer, extensions=current.extensions + 1),
            )
        postings = await self._refund(stub, current, locks)
        void = replace(current, phase=Phase.VOID, deadline=0, result=current.model)
        await end_round(stub, job, void, postings)
        announce(stub, void)
        return void

    @staticmethod
    async def _refund(stub: Stub, current: RoundState, locks: dict[str, Lock]) -> Postings:
        postings = Postings(stub, f"{current.job}/{current.round}")
        for member, lock in sorted(locks.items()):
            await stub.delete(keys.lock(current.job, current.round, member))
            await postings.pay(member, lock.stake + lock.bond, "lock-returned", current.job)
        return postings


async def in_phase(stub: Stub, job: str, round: int, phase: Phase) -> tuple[Job, RoundState]:
    """The job and the round's state, which must be in `phase`: 425 before it, 409 after it."""
    record, current = await state.governed(stub, job), await state.round_state(stub, job, round)
    if current.phase != phase:
        order = list(Phase)
        kind = TooEarly if order.index(current.phase) < order.index(phase) else Conflict
        raise kind(f"the round is in phase {current.phase}, not {phase}", phase=current.phase)
    return record, current


def announce(stub: Stub, current: RoundState) -> None:
    """The event of a phase change."""
    stub.set_event("round", canonical({"job": current.job, "round": current.round, "phase": current.phase}))


def check_report(job: Job, report_cid: str, data: bytes | None) -> report.Symbols:
    """The T symbols, once the bytes are the one raw block the CID names, all below C; refused otherwise."""
    tasks, alphabet = job.spec.tasks, job.spec.alphabet
    return _unpacked("report", report_cid, data, lambda raw: report.unpack(raw, tasks, alphabet))


def check_view(job: Job, view_cid: str, data: bytes | None) -> View:
    """The public view of all N items, once the bytes are the one raw block the CID names; refused otherwise."""
    items, alphabet = job.spec.public_items, job.spec.alphabet
    return _unpacked("view", view_cid, data, lambda raw: views.unpack(raw, items, alphabet))


def _unpacked(what: str, name: str, data: bytes | None, unpack: Callable[[bytes], Content]) -> Content:
    """What is in the one raw block that a CID names."""
    if data is None:
        raise Invalid(f"the {what}'s bytes must come in the transient map", missing=[what])
    try:
        if cid.parse(name).codec != "raw":
            raise ValueError(f"a {what} is one raw block")
        cid.check(name, data)
        return unpack(data)
    except ValueError as fault:
        raise Unprocessable(f"{what}: {fault}") from fault


def _check_no_report(report_cid: str, transient: Mapping[str, bytes]) -> None:
    if report_cid:
        raise Unprocessable("report: this round takes none, its CID must be empty")
    if transient:
        raise Invalid("this round takes no reports; none must come in the transient map")


def _check_cid(text: str, what: str) -> None:
    try:
        cid.parse(text)
    except ValueError as fault:
        raise Unprocessable(f"{what}: {fault}") from fault
