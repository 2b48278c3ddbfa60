"""Running recorded transactions again, with the very contracts that endorsed them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import InvalidVersion

from chaincode import committees, contracts
from chaincode.beacon import BeaconInfo
from chaincode.contracts import keys
from chaincode.contracts.settings import Settings
from chaincode.shim import Identity, Refusal, Response, Stub
from chaincode.shim.memory import Endorsement, MemoryStub, ReadWriteSet, WorldState, endorse
from fl_client.audit.blocks import Transaction
from fl_client.audit.clock import AuditClock
from fl_client.audit.unseen import ANSWER, REVEAL, Absent, wanting

PATIENCE = 3600.0  # seconds for one transaction: an auditor's machine may be slow
INIT = "Governance:init"
SETTLE, AGREE = "Settlement:settle", "Aggregation:agree"

Fetch = Callable[[str], Awaitable[bytes | None]]  # content by CID


class _Server(contracts.Consortium):
    """The contracts of a chaincode server that waits as long as it takes."""

    def __init__(self, settings: Settings, clock: AuditClock) -> None:
        super().__init__(settings, clock)
        self._deadline = PATIENCE

    def _defect(self, stub: Stub, error: BaseException) -> Response:
        """On a forged record contracts fail in places nobody thought of: that is for the report, not for a log."""
        return Response(500, f"the contracts cannot be run on what is recorded: {type(error).__name__}")


class Executor:
    """The contracts under the founding terms that `Governance:init` itself carries, on the audit's clock."""

    def __init__(self, chaincode: str, fetch: Fetch) -> None:
        self._chaincode, self._fetch = chaincode, fetch
        self._server: _Server | None = None
        self._clock: AuditClock | None = None

    async def run(self, tx: Transaction, state: WorldState, least: int) -> Endorsement:
        """The endorsement of an honest server that lives at `least` or later.

        Raises: Absent, where the contracts want nothing but content that is not to be had.
        """
        if tx.name == INIT and self._server is None:
            self._found(tx)
        transient, missing = await self._transient(tx, state)
        if self._server is None or self._clock is None:
            return Endorsement(409, "the consortium is not founded", b"", ReadWriteSet(), None)
        creator = _identity(tx)
        if creator is None:
            return Endorsement(403, "the creator is not an X.509 identity", b"", ReadWriteSet(), None)
        self._clock.at(least)
        stub = MemoryStub(
            state,
            channel=tx.channel,
            tx_id=tx.tx_id,
            chaincode=tx.chaincode,
            args=tx.args,
            transient=transient,
            creator=creator,
            timestamp=tx.timestamp,
        )
        made = await endorse(self._server, stub)
        if missing and wanting(made, missing):
            raise Absent(dict(missing.values()), stub.read_write_set())
        return made

    def _found(self, tx: Transaction) -> None:
        """Take the terms from the founding transaction; every endorser had compared them with its own."""
        names = ("organisations", "beacon", "freshness", "margin", "registration")
        try:
            terms = {name: msgspec.json.decode(raw) for name, raw in zip(names, tx.args[1:], strict=True)}
            settings = msgspec.convert(
                {**terms, "msp_id": "Auditor", "chaincode": self._chaincode}, type=Settings
            )
        except (ValueError, RecursionError):
            return  # not a founding transaction; it will be refused
        self._clock = AuditClock(settings.beacon)
        self._server = _Server(settings, self._clock)

    async def _transient(
        self, tx: Transaction, state: WorldState
    ) -> tuple[dict[str, bytes], dict[str, tuple[str, str]]]:
        """The transient map, from content: it is in no block, but what was in it is named in one.

        Of what is not to be had: CID and whose it is.
        """
        if tx.name == REVEAL and len(tx.args) > 3:
            member = acting_member(state, tx)
            names = {"report": (tx.args[3].decode(errors="replace"), member)}
        elif tx.name == SETTLE and len(tx.args) > 2:
            names = {
                f"report/{member}": (cid, member)
                for member, cid in counted(state, tx.args[1].decode(errors="replace"), tx.args[2])
            }
            names["view"] = public_view(state, tx.args[1].decode(errors="replace"), tx.args[2]), ""
        elif tx.name == ANSWER and len(tx.args) > 6:
            names = {"view": (tx.args[6].decode(errors="replace"), acting_member(state, tx))}
        elif tx.name == AGREE and len(tx.args) > 2 and tx.args[2].isdigit():
            held = counted_views(state, tx.args[1].decode(errors="replace"), int(tx.args[2]))
            names = {f"view/{member}": (cid, member) for member, cid in held}
        else:
            return {}, {}
        # a round of a mechanism that takes no reports names none, nor does one whose rule needs no view
        contents = {name: await self._fetch(cid) for name, (cid, _) in names.items() if cid}
        missing = {name: names[name] for name, data in contents.items() if data is None}
        return {name: data for name, data in contents.items() if data is not None}, missing


def counted(state: WorldState, job: str, number: bytes) -> Iterator[tuple[str, str]]:
    """The members whose reports settle a round, each with its report's CID."""
    try:
        round = int(number)
    except ValueError:
        return
    aside = (record(state, keys.state(job, round)) or {}).get("set_aside", [])
    prefix = keys.reveal(job, round)
    for key, _ in state.items(prefix, prefix + "\U0010ffff"):
        member = key.removeprefix(prefix)
        if member not in aside:
            yield member, str((record(state, key) or {}).get("report", ""))


def public_view(state: WorldState, job: str, number: bytes) -> str:
    """The CID of the public view that scores a round; "" where none does."""
    round = int(number) if number.isdigit() else 0
    return str((record(state, keys.state(job, round)) or {}).get("view", ""))


def counted_views(state: WorldState, job: str, number: int) -> list[tuple[str, str]]:
    """The committee's members whose views of a round's result count, each with its view's CID."""
    current = record(state, keys.state(job, number)) or {}
    committee = [str(member) for member in current.get("committee") or []]
    place = job, number, int(current.get("attempt") or 0)
    agreeing = [m for m in committee if text(state, keys.opened(*place, m)) == current.get("result")]
    said = [record(state, keys.witness(*place, member)) for member in agreeing]
    missing = [list(map(str, each.get("missing") or [])) for each in said if each is not None]
    held = committees.valid(agreeing, missing, len(committee))
    return [(member, text(state, keys.view(*place, member))) for member in held]


def text(state: WorldState, key: str) -> str:
    """A stored text; "" when it is not there, or none."""
    entry = state.get(key)
    try:
        return str(msgspec.json.decode(entry.value)) if entry else ""
    except (ValueError, RecursionError):  # forged: whoever wrote it is found out
        return ""


def acting_member(state: WorldState, tx: Transaction) -> str:
    """The member whose key signed the transaction; its MSP id when there is none."""
    who = _identity(tx)
    if who is None:
        return ""
    entry = state.get(keys.acting_key(who.msp_id, who.key_sha256))
    try:
        return str(msgspec.json.decode(entry.value)) if entry else who.msp_id
    except (ValueError, RecursionError):
        return who.msp_id


def _identity(tx: Transaction) -> Identity | None:
    try:
        return Identity.parse(tx.creator)
    except (Refusal, UnsupportedAlgorithm, InvalidVersion):
        return None


def infos(state: WorldState, tx: Transaction) -> list[BeaconInfo]:
    """The beacon chains a transaction's beacons may be of: the consortium's, and its job's."""
    found: list[BeaconInfo] = []
    name = tx.args[1].decode(errors="replace") if len(tx.args) > 1 else ""
    for key in (keys.CONSORTIUM, keys.job(name)):
        try:
            found.append(msgspec.convert((record(state, key) or {}).get("beacon"), type=BeaconInfo))
        except msgspec.MsgspecError:
            continue
    return found


def record(state: WorldState, key: str) -> dict[str, Any] | None:
    """A record as plain JSON, None when it is not there."""
    entry = state.get(key)
    if entry is None:
        return None
    try:
        value = msgspec.json.decode(entry.value)
    except (ValueError, RecursionError):  # forged: whoever wrote it is found out
        return None
    return value if isinstance(value, dict) else None
