"""Founding, and changes by vote: one vote an organisation, more than half executes."""

from __future__ import annotations

import msgspec

from chaincode.beacon import Beacon, BeaconInfo
from chaincode.contracts import hardship as hardship  # registers its actions
from chaincode.contracts import keys, state, time
from chaincode.contracts.actions import Ready, Vote, prepare
from chaincode.contracts.settings import DEVELOPMENT, EndorserClock, Settings
from chaincode.encoding import canonical
from chaincode.proposals import Action, Proposal, SetBeacon
from chaincode.records import TREASURY, Consortium, MspId, Name, Registration, Seconds
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Forbidden, NotFound, Unprocessable

PROPOSAL_SECONDS = 7 * 24 * 3600
replace = msgspec.structs.replace


class Governance(Contract):
    """The consortium's own decisions."""

    def __init__(self, settings: Settings, clock: EndorserClock) -> None:
        self._settings, self._clock = settings, clock

    @transaction
    async def init(
        self,
        stub: Stub,
        organisations: list[MspId],
        beacon: BeaconInfo,
        freshness: Seconds,
        margin: Seconds,
        registration: Registration,
    ) -> None:
        """Found the consortium, once; every endorser compares all five with its own configuration."""
        founder = state.admin_of(stub)
        if await state.find(stub, keys.CONSORTIUM, Consortium):
            raise Conflict("the consortium is founded already")
        given = (organisations, beacon, freshness, margin, registration)
        own = self._settings
        if given != (own.organisations, own.beacon, own.freshness, own.margin, own.registration):
            raise Forbidden(
                "these are not the founding terms of this organisation's server", msp_id=own.msp_id
            )
        self._accept(beacon)
        if founder not in organisations:
            raise Forbidden("only a founding organisation's admin may found", msp_id=founder)
        if len(set(organisations)) != len(organisations) or TREASURY in organisations:
            raise Unprocessable("organisations: each once, and none named as the treasury")
        record = Consortium(
            organisations=organisations,
            beacon=beacon,
            freshness=freshness,
            margin=margin,
            registration=registration,
        )
        await state.write(stub, keys.CONSORTIUM, record)

    @transaction
    async def propose(self, stub: Stub, proposal: Name, action: Action, beacon: Beacon) -> Proposal:
        """Put `action` to the vote with the proposer's approval; `beacon` (fresh) starts its time.

        `set-beacon` may bring a beacon of the chain that it proposes: the one in use may have died.
        """
        terms, msp_id = await self._voter(stub)
        if await state.exists(stub, keys.proposal(proposal)):
            raise Conflict(f"proposal {proposal!r} exists already")
        other = action.beacon if isinstance(action, SetBeacon) else terms.beacon
        opened = time.fresh_of_either(terms.beacon, other, terms.freshness, self._clock, beacon)
        vote = Vote(stub, terms, self._clock, beacon)
        record = Proposal(
            action=action,
            proposer=msp_id,
            approvals=[msp_id],
            rejections=[],
            expires=opened + PROPOSAL_SECONDS,
            target=(await self._ready(vote, action)).target,
        )
        return await self._decide(vote, proposal, record)

    @transaction
    async def approve(self, stub: Stub, proposal: Name, beacon: Beacon | None = None) -> Proposal:
        """Vote for; the vote that makes more than half executes the action, or is refused as it would be.

        `beacon` (fresh) is needed where the action asks what time it is: `void-round` and `abort-job`. Who has
        approved already may approve again once organisations that left make the approvals more than half.
        """
        terms, msp_id = await self._voter(stub)
        record = await self._votable(stub, proposal)
        approved = replace(record, approvals=sorted({*record.approvals, msp_id}))
        again = msp_id in record.approvals and not _carried(terms, approved)
        if again or msp_id in record.rejections:
            raise Conflict(f"{msp_id} has voted on {proposal!r} already")
        return await self._decide(Vote(stub, terms, self._clock, beacon), proposal, approved)

    @transaction
    async def reject(self, stub: Stub, proposal: Name) -> Proposal:
        """Vote against; half of the votes against end the proposal."""
        terms, msp_id = await self._voter(stub)
        record = await self._votable(stub, proposal)
        if msp_id in record.approvals or msp_id in record.rejections:
            raise Conflict(f"{msp_id} has voted on {proposal!r} already")
        rejected = replace(record, rejections=sorted([*record.rejections, msp_id]))
        electorate = set(terms.organisations)
        if 2 * len(electorate.intersection(rejected.rejections)) >= len(electorate):
            rejected = replace(rejected, status="rejected")
        return await self._write(stub, proposal, rejected)

    @transaction
    async def withdraw(self, stub: Stub, proposal: Name) -> Proposal:
        """The organisation that proposed it takes it back."""
        _, msp_id = await self._voter(stub)
        record = await self._votable(stub, proposal)
        if msp_id != record.proposer:
            raise Forbidden("only the organisation that proposed may withdraw", proposer=record.proposer)
        return await self._write(stub, proposal, replace(record, status="withdrawn"))

    @query(name="list")
    async def proposals(self, stub: Stub) -> dict[str, Proposal]:
        """Every proposal by name."""
        return await state.under(stub, "proposal/", Proposal)

    @query
    async def get(self, stub: Stub) -> Consortium:
        """The consortium as it stands."""
        return await state.consortium(stub)

    async def _voter(self, stub: Stub) -> tuple[Consortium, str]:
        msp_id = state.admin_of(stub)
        return await state.admitted(stub, msp_id), msp_id

    async def _votable(self, stub: Stub, name: str) -> Proposal:
        record = await state.read(stub, keys.proposal(name), Proposal, f"proposal {name!r}")
        if record.status != "open":
            raise Conflict(f"proposal {name!r} is {record.status}", status=record.status)
        time.not_past(record.expires, self._clock, f"proposal {name!r}")
        return record

    async def _decide(self, vote: Vote, name: str, record: Proposal) -> Proposal:
        """Execute what more than half approve; what changed under the proposal is a conflict, and no vote counts."""
        if _carried(vote.terms, record):
            ready = await self._prepared(vote, name, record)
            if ready.target != record.target:
                raise Conflict(f"what proposal {name!r} would replace has changed since it was made")
            await ready.execute()
            record = replace(record, status="executed")
        return await self._write(vote.stub, name, record)

    async def _ready(self, vote: Vote, action: Action) -> Ready:
        """The checked action, if this organisation may endorse it at all."""
        if isinstance(action, SetBeacon):
            self._accept(action.beacon)
        return await prepare(vote, action)

    async def _prepared(self, vote: Vote, name: str, record: Proposal) -> Ready:
        try:
            return await self._ready(vote, record.action)
        except (NotFound, Unprocessable) as fault:  # it could be executed when it was proposed
            raise Conflict(f"proposal {name!r} cannot be executed any more: {fault.message}") from fault

    def _accept(self, beacon: BeaconInfo) -> None:
        if not self._settings.accepts(beacon):
            raise Forbidden(DEVELOPMENT, msp_id=self._settings.msp_id)

    @staticmethod
    async def _write(stub: Stub, name: str, record: Proposal) -> Proposal:
        await state.write(stub, keys.proposal(name), record)
        if record.status == "executed":
            stub.set_event("governance", canonical({"proposal": name, "action": record.action}))
        return record


def _carried(terms: Consortium, record: Proposal) -> bool:
    """The electorate is who is admitted now; the vote of an organisation that left no longer counts."""
    electorate = set(terms.organisations)
    return 2 * len(electorate.intersection(record.approvals)) > len(electorate)
