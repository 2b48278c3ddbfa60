"""Two layers as clients live them: each organisation's updates combined inside it, then the partial aggregates.

Who speaks first for an organisation publishes its `Inside`; every committee member looks at its own
organisation's updates and at those of the organisations that are its duty, says what it found, and takes the
others' partial aggregates where the seat whose duty they are vouches for them. Where any two members name
different ones of an organisation, everybody looks for itself. Who is not of the committee looks at one
organisation after the other, as long as there is time, and objects likewise.
Updates are had one at a time, from the own organisation's node.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence

from chaincode import cid as cids
from chaincode.records import Reason, RoundState, Stage
from chaincode.scoring import organisation
from fl_client import aggregator, inside
from fl_client.errors import CandorError, Disagreement, NotStored, Refused, TooLarge
from fl_client.inside import Inside, Inspection
from fl_client.steps import Seat, counted
from fl_client.training import parameters
from fl_client.waiting import fetched, finished, patience

log = logging.getLogger(__name__)
Members = Mapping[str, Mapping[str, str]]  # organisation -> member -> CID of its update
LOOK = 0.2  # seconds
BUSY = (Stage.SOLE, Stage.VOTE, Stage.POST, Stage.CHALLENGE, Stage.COMMIT)


def duties(committee: Sequence[str], organisations: Iterable[str]) -> dict[str, str]:
    """Organisation -> the committee member from another one who looks at its updates; none where there is none.

    Dealt out in turn, so that everybody has about as many.
    """
    found = {}
    for place, name in enumerate(sorted(organisations)):
        turn = [committee[(place + step) % len(committee)] for step in range(len(committee))]
        outside = [seat for seat in turn if organisation(seat) != name]
        if outside:
            found[name] = outside[0]
    return found


class Layers:
    """One client's part in a job of two layers."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self._looked: dict[tuple[int, int, str], Inside] = {}  # by round, attempt and organisation
        self._said: set[tuple[int, str]] = set()
        self._rests: set[tuple[int, int]] = set()  # rounds and attempts of which there is no more to look at
        self._latest = "", b""
        self._made: dict[str, bytes] = {}  # partial aggregates of its own, until the committee has its answer

    async def watch(self, state: RoundState) -> None:
        """As anybody, while the committee is at work: speak for the own organisation, look at one of the others."""
        key = state.round, state.attempt
        if key in self._rests or state.stage not in BUSY:
            return
        members, said = await self._members(state), await self._claims(state)
        own = organisation(self.seat.me)
        if self.seat.me not in members.get(own, ()):
            return
        if not said.get(own) and self._turn(state, members[own]):
            await self._say(state, await self.look(state, own, members[own]))
        unseen = [name for name in self._in_turn(state, members) if (*key, name) not in self._looked]
        if self.seat.me in state.committee or not unseen:
            if said.get(own):
                self._rests.add(key)
            return
        for name in unseen:
            if said.get(name):
                await self._compare(state, await self.look(state, name, members[name]), said[name])
                return

    async def refuses(self, state: RoundState) -> dict[str, Reason]:
        """This client's verdict on every update, most of it on what their organisations say of them."""
        members = await self._members(state)
        duty = duties(state.committee, members)
        own = organisation(self.seat.me)
        mine = {own, *(name for name, seat in duty.items() if seat == self.seat.me)} & set(members)
        looked = {name: await self.look(state, name, members[name]) for name in sorted(mine)}
        said = await self._claims(state)
        await asyncio.gather(*(self._answer(state, found, said, own) for found in looked.values()))
        said = await self._heard(state, set(members) - mine, duty)
        for name in sorted(set(members) - mine):
            looked[name] = await self._accepted(state, name, members, said)
        return {member: reason for each in looked.values() for member, reason in each.refused.items()}

    async def _answer(self, state: RoundState, found: Inside, said: Members, own: str) -> None:
        """As a seat: say what it found of its duty, and of its own organisation where nobody has said just that."""
        claims = said.get(found.organisation)
        if found.organisation != own or not claims:
            await self._say(state, found)
        else:
            await self._compare(state, found, claims)

    async def combined(self, state: RoundState, valid: list[str]) -> bytes:
        """The aggregate over exactly these members' updates, from partial aggregates where they are of just those.

        NotStored, Disagreement: as `Aggregator.combined`.
        """
        members, said = await self._members(state), await self._claims(state)
        partials = {}
        for name in sorted({organisation(member) for member in valid}):
            those = {m: cid for m, cid in members[name].items() if m in valid}
            found = await self._accepted(state, name, members, said)
            exact = found.counted == sorted(those)
            data = await (self._partial(state, found, those) if exact else self._exactly(state, name, those))
            partials[name] = data, len(those)
        self._made.clear()
        try:
            return await asyncio.to_thread(inside.across, await self._model(state), partials)
        except ValueError as fault:
            raise Disagreement(f"round {state.round}: the valid set cannot be combined: {fault}") from fault

    async def look(self, state: RoundState, name: str, members: Mapping[str, str]) -> Inside:
        """Look at one organisation's updates (member -> CID), once an attempt; keep the partial aggregate."""
        key = state.round, state.attempt, name
        if key not in self._looked:
            missing = await self._bring(state, members)
            found, partial = await self._inspect(state, name, members, missing=missing)
            if partial:
                await self.seat.store.keep(partial)
            if partial and self.seat.me in state.committee:
                self._made[found.partial] = partial
            self._looked[key] = found
        return self._looked[key]

    async def _inspect(
        self, state: RoundState, name: str, members: Mapping[str, str], *, missing: set[str]
    ) -> tuple[Inside, bytes]:
        """One update after the other, but for those that cannot be had."""
        work = Inspection(await self._model(state), name)
        for member in sorted(members):
            update = Reason.MISSING if member in missing else await fetched(self.seat, members[member])
            if isinstance(update, Reason):
                work.refuse(member, update)
            else:
                await asyncio.to_thread(work.take, member, update)
        return await asyncio.to_thread(work.result)

    async def _exactly(self, state: RoundState, name: str, members: Mapping[str, str]) -> bytes:
        """The partial aggregate of just these members: others than their organisation has combined."""
        work = Inspection(await self._model(state), name)
        for member in sorted(members):
            update = await fetched(self.seat, members[member])
            if isinstance(update, Reason):
                raise NotStored(f"round {state.round}: the valid update of {member} cannot be fetched yet")
            await asyncio.to_thread(work.take, member, update)
        found, partial = await asyncio.to_thread(work.result)
        if found.refused:
            raise Disagreement(f"round {state.round}: the valid set cannot be combined: {found.refused}")
        return partial

    async def _accepted(
        self, state: RoundState, name: str, members: Members, said: Mapping[str, Mapping[str, str]]
    ) -> Inside:
        """What to go by: the own look at it; else what all who speak of it agree on, one of its members and the seat
        whose duty it is among them; else a look."""
        if (found := self._looked.get((state.round, state.attempt, name))) is not None:
            return found
        claims = said.get(name, {})
        if len(set(claims.values())) == 1 and _vouched(name, duties(state.committee, members), said):
            try:
                return await self._claimed(state, next(iter(claims.values())), name, members[name])
            except (CandorError, ValueError) as fault:
                log.warning("round %d: what %s says of its updates is no use: %s", state.round, name, fault)
        return await self.look(state, name, members[name])

    async def _claimed(self, state: RoundState, cid: str, name: str, members: Mapping[str, str]) -> Inside:
        """A claim that can be read, and whose refusals are right."""
        limit = inside.FIXED + inside.EACH * len(members)
        found = inside.decode(await self.seat.store.get(cid, limit=limit), name, members)
        if found.refused:
            suspects = {member: members[member] for member in found.refused}
            missing = await self._bring(state, suspects)
            seen, _ = await self._inspect(state, name, suspects, missing=missing)
            if seen.refused != found.refused:
                raise Disagreement("it refuses updates that are valid")
        return found

    async def _partial(self, state: RoundState, found: Inside, members: Mapping[str, str]) -> bytes:
        """The partial aggregate that somebody names; one's own where that is none."""
        if found.partial in self._made:
            return self._made[found.partial]
        data = await fetched(self.seat, found.partial)
        if isinstance(data, bytes) and await asyncio.to_thread(_fits, data, await self._model(state)):
            return data
        log.warning("round %d: the partial aggregate of %s is none", state.round, found.organisation)
        return await self._exactly(state, found.organisation, members)

    async def _compare(self, state: RoundState, own: Inside, said: Mapping[str, str]) -> None:
        """Object to what others say of an organisation, so that everybody looks for itself."""
        name = cids.file_cid(own.encode())
        if any(claim != name for claim in said.values()):
            log.warning(
                "round %d: the updates of %s do not combine to what is said", state.round, own.organisation
            )
            await self._say(state, own)

    async def _say(self, state: RoundState, own: Inside) -> None:
        """Publish, once, what an organisation's updates come to."""
        if (state.round, own.organisation) in self._said:
            return
        seat = self.seat
        name = await seat.store.keep(own.encode())
        try:
            await seat.ledger.submit("Aggregation:partial", seat.job.id, state.round, own.organisation, name)
        except Refused as refusal:
            if refusal.code != 409:  # said before a crash, or the aggregation is over
                raise
        self._said.add((state.round, own.organisation))

    async def _heard(
        self, state: RoundState, names: set[str], duty: Mapping[str, str]
    ) -> dict[str, dict[str, str]]:
        """What is said, once it is vouched for, or after a quarter of the window."""
        until = self.seat.beacons.clock.now() + self.seat.job.spec.aggregate_seconds / 4
        while True:
            said = await self._claims(state)
            if all(_vouched(name, duty, said) for name in names) or self.seat.beacons.clock.now() >= until:
                return said
            await self.seat.ledger.changed(LOOK)

    async def _bring(self, state: RoundState, members: Mapping[str, str]) -> set[str]:
        """Have the own node fetch what it lacks, all at once; whose update has not come in time."""
        seat, limit = self.seat, self.seat.job.spec.model_bytes
        tasks = {
            m: asyncio.create_task(seat.store.bring(cid, limit=limit)) for m, cid in sorted(members.items())
        }
        await finished(seat, tasks.values(), patience(seat, state))
        return {m for m, task in tasks.items() if not task.done() or _missing(task.exception())}

    async def _model(self, state: RoundState) -> bytes:
        if self._latest[0] != state.model:
            self._latest = state.model, await self.seat.model(state.model)
        return self._latest[1]

    async def _members(self, state: RoundState) -> dict[str, dict[str, str]]:
        """Organisation -> member -> CID of its update, of those whose updates may count."""
        found: dict[str, dict[str, str]] = {}
        for member, shown in sorted((await counted(self.seat, state)).items()):
            found.setdefault(organisation(member), {})[member] = shown.update
        return found

    async def _claims(self, state: RoundState) -> dict[str, dict[str, str]]:
        return await self.seat.view.partials(self.seat.job.id, state.round)

    def _turn(self, state: RoundState, members: Iterable[str]) -> bool:
        """Whether to speak for the own organisation: at once the first of a hashed order, the next a while later."""
        length = self.seat.job.spec.aggregate_seconds
        place = sorted(members, key=lambda member: _hash(state, member)).index(self.seat.me)
        since = self.seat.beacons.clock.now() - (state.deadline - length)
        return state.stage in (Stage.SOLE, Stage.VOTE) and since >= place * length / 8

    def _in_turn(self, state: RoundState, organisations: Iterable[str]) -> list[str]:
        """The other organisations, for each client in an order of its own."""
        others = {name for name in organisations if name != organisation(self.seat.me)}
        return sorted(others, key=lambda name: _hash(state, f"{self.seat.me}/{name}"))


def _hash(state: RoundState, what: str) -> bytes:
    return hashlib.sha256(f"{state.job}/{state.round}/{what}".encode()).digest()


def _vouched(name: str, duty: Mapping[str, str], said: Members) -> bool:
    """Whether a member of the organisation and the seat whose duty it is have spoken of its updates."""
    who = said.get(name, {})
    return duty.get(name) in who and any(organisation(member) == name for member in who)


def _missing(fault: BaseException | None) -> bool:
    """Whether it tells of content that was not to be had, not of too much of it: that is said when it is looked at."""
    return fault is not None and not isinstance(fault, TooLarge)


def _fits(partial: bytes, model: bytes) -> bool:
    try:
        aggregator.decode(partial, len(model), parameters.from_bytes(model))
    except ValueError:
        return False
    return True
