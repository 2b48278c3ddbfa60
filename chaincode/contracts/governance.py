"""Founding, and changes by vote: one vote an organisation, more than half executes."""

from __future__ import annotations

import msgspec

from chaincode.beacon import Beacon, BeaconInfo
from chaincode.contracts import keys, state, time
from chaincode.contracts.settings import EndorserClock, Settings
from chaincode.contracts.token import LIMIT, Postings, known_account
from chaincode.records import (
    TREASURY,
    Action,
    AdmitOrganisation,
    Consortium,
    Mint,
    MspId,
    Name,
    Proposal,
    Registration,
    Seconds,
)
from chaincode.shim import Contract, Stub, query, transaction
from chaincode.shim.errors import Conflict, Forbidden, Unprocessable

PROPOSAL_SECONDS = 7 * 24 * 3600


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
        if founder not in organisations:
            raise Forbidden("only a founding organisation's admin may found", msp_id=founder)
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
        """Put `action` to the vote with the proposer's approval; `beacon` (fresh) starts its time."""
        terms, msp_id = await self._voter(stub)
        if await state.exists(stub, keys.proposal(proposal)):
            raise Conflict(f"proposal {proposal!r} exists already")
        opened = time.fresh(terms.beacon, terms.freshness, self._clock, beacon)
        await self._check(stub, terms, action)
        record = Proposal(
            action=action,
            proposer=msp_id,
            approvals=[msp_id],
            rejections=[],
            expires=opened + PROPOSAL_SECONDS,
        )
        return await self._decide(stub, proposal, record, terms)

    @transaction
    async def approve(self, stub: Stub, proposal: Name) -> Proposal:
        """Vote for; the vote that makes more than half executes the action."""
        terms, msp_id = await self._voter(stub)
        record = await self._votable(stub, proposal, msp_id)
        approvals = sorted([*record.approvals, msp_id])
        return await self._decide(stub, proposal, msgspec.structs.replace(record, approvals=approvals), terms)

    @transaction
    async def reject(self, stub: Stub, proposal: Name) -> Proposal:
        """Vote against."""
        terms, msp_id = await self._voter(stub)
        record = await self._votable(stub, proposal, msp_id)
        rejections = sorted([*record.rejections, msp_id])
        return await self._decide(
            stub, proposal, msgspec.structs.replace(record, rejections=rejections), terms
        )

    @query(name="list")
    async def proposals(self, stub: Stub) -> dict[str, Proposal]:
        """Every proposal by name."""
        return await state.under(stub, "proposal/", Proposal)

    @query
    async def get(self, stub: Stub) -> Consortium:
        """The consortium as it stands."""
        return await state.consortium(stub)

    async def _voter(self, stub: Stub) -> tuple[Consortium, str]:
        terms = await state.consortium(stub)
        msp_id = state.admin_of(stub)
        if msp_id not in terms.organisations:
            raise Forbidden("not an organisation of the consortium", msp_id=msp_id)
        return terms, msp_id

    async def _votable(self, stub: Stub, name: str, msp_id: str) -> Proposal:
        record = await state.read(stub, keys.proposal(name), Proposal, f"proposal {name!r}")
        if record.status != "open":
            raise Conflict(f"proposal {name!r} is {record.status}", status=record.status)
        if msp_id in record.approvals or msp_id in record.rejections:
            raise Conflict(f"{msp_id} has voted on {name!r} already")
        time.not_past(record.expires, self._clock, f"proposal {name!r}")
        return record

    async def _decide(self, stub: Stub, name: str, record: Proposal, terms: Consortium) -> Proposal:
        """The electorate is who is admitted now; a departed organisation's vote no longer counts."""
        electorate = set(terms.organisations)
        if 2 * len(electorate.intersection(record.approvals)) > len(electorate):
            await self._execute(stub, record.action, terms)
            record = msgspec.structs.replace(record, status="executed")
        elif 2 * len(electorate.intersection(record.rejections)) >= len(electorate):
            record = msgspec.structs.replace(record, status="rejected")
        await state.write(stub, keys.proposal(name), record)
        return record

    async def _check(self, stub: Stub, terms: Consortium, action: Action) -> None:
        """Refuse at proposal what could never execute."""
        match action:
            case Mint():
                await known_account(stub, action.account)
            case AdmitOrganisation() if action.msp_id in terms.organisations:
                raise Conflict(f"{action.msp_id} is admitted already")
            case AdmitOrganisation() if action.msp_id == TREASURY:
                raise Unprocessable("the treasury's name cannot be an organisation's")

    async def _execute(self, stub: Stub, action: Action, terms: Consortium) -> None:
        await self._check(stub, terms, action)
        match action:
            case Mint(account=account, amount=amount):
                supply = await state.number(stub, keys.SUPPLY) + amount
                if supply >= LIMIT:
                    raise Unprocessable("the supply would pass 2^63", supply=supply)
                await state.write(stub, keys.SUPPLY, supply)
                await Postings(stub).pay(account, amount, "mint", "")
            case AdmitOrganisation(msp_id=msp_id):
                organisations = sorted([*terms.organisations, msp_id])
                record = msgspec.structs.replace(terms, organisations=organisations)
                await state.write(stub, keys.CONSORTIUM, record)
