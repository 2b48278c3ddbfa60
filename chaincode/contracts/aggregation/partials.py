"""Two layers: members tell each other what an organisation's updates combine to. Nothing is decided by it:
where two differ, the committee looks for itself (docs/aggregation.md, "Two layers")."""

from __future__ import annotations

import msgspec

from chaincode import cid, scoring
from chaincode.contracts import keys, state
from chaincode.contracts.aggregation.committee import eligible
from chaincode.records import Job, RoundState
from chaincode.shim import Stub
from chaincode.shim.errors import Conflict, Forbidden, Unprocessable


async def say(stub: Stub, job: Job, current: RoundState, organisation: str, inside: str) -> None:
    """Write down, once a member and organisation, the CID of an `Inside` (fl_client/inside.py).

    Only of organisations whose updates are before the committee: nobody can bury what is said under made-up ones.
    """
    member = await state.acting(stub)
    if job.spec.strategy != "two-layer":
        raise Unprocessable(f"strategy {job.spec.strategy} combines nothing inside an organisation")
    if not await state.exists(stub, keys.reveal(job.id, current.round, member.id)):
        raise Forbidden("this member has not revealed in the round")
    if organisation not in map(scoring.organisation, await eligible(stub, current)):
        raise Unprocessable("organisation: none of its members has an update in this round")
    try:
        cid.parse(inside)
    except ValueError as fault:
        raise Unprocessable(f"inside: {fault}") from fault
    key = keys.partial(job.id, current.round, organisation, member.id)
    if await state.exists(stub, key):
        raise Conflict("this member has said what these updates combine to; the first stands")
    await state.write(stub, key, inside)


async def said(stub: Stub, job: str, round: int) -> dict[str, dict[str, str]]:
    """Organisation -> member -> CID."""
    prefix, found = keys.partial(job, round), dict[str, dict[str, str]]()
    async for key, raw in stub.prefix(prefix):
        organisation, _, member = key.removeprefix(prefix).partition("/")
        found.setdefault(organisation, {})[member] = msgspec.json.decode(raw, type=str)
    return found
