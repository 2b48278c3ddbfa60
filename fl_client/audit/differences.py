"""What differs between a recorded transaction and the same one run again, named by what it concerns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from chaincode.shim.memory import Endorsement, ReadWriteSet
from fl_client.audit.blocks import Transaction
from fl_client.audit.findings import Class, Finding

_LONGEST = 400  # characters of a value in a finding
_KEYS = {
    "consortium": Class.GOVERNANCE,
    "proposal": Class.GOVERNANCE,
    "supply": Class.MINT,
    "allow": Class.MEMBERSHIP,
    "member": Class.MEMBERSHIP,
    "key": Class.MEMBERSHIP,
    "credit": Class.PAYMENT,
    "entry": Class.PAYMENT,
    "escrow": Class.PAYMENT,
    "job": Class.JOB,
    "cancelled": Class.JOB,
    "slot": Class.COMMIT,
    "lock": Class.SLASH,
    "reveal": Class.REPORT,
    "missing": Class.REPORT,
    "outcome": Class.SCORE,
    "round": Class.PHASE,
    "ballot": Class.AGGREGATE,
    "partial": Class.AGGREGATE,
    "answer": Class.AGGREGATE,
    "opened": Class.AGGREGATE,
    "view": Class.AGGREGATE,
    "witness": Class.AGGREGATE,
}
_CONTRACTS = {
    "Governance": Class.GOVERNANCE,
    "Registry": Class.MEMBERSHIP,
    "Token": Class.PAYMENT,
    "Jobs": Class.JOB,
    "Rounds": Class.PHASE,
    "Settlement": Class.SCORE,
    "Aggregation": Class.AGGREGATE,
}
_TRANSACTIONS = {"Rounds:commit": Class.COMMIT, "Rounds:reveal": Class.REPORT}
_ROUND_FIELDS = {
    Class.DRAW: (
        "batch_round",
        "pairing_round",
        "pairing_randomness",
        "sampling_round",
        "sampling_randomness",
    ),
    Class.AGGREGATE: (
        *("attempt", "committee", "valid", "voted", "result", "post", "challenger", "forfeited"),
        *("passed_over", "aggregation_outcome", "model", "view", "next_view"),
    ),
    Class.PARTICIPANT: ("set_aside",),
}
_OF_A_JOB = (
    *("round", "outcome", "lock", "slot", "reveal", "missing", "escrow"),
    *("ballot", "answer", "opened", "view", "witness", "partial"),
)
_SLASHES = ("slash", "bond-lost", "bond-won", "negative-payment")


def differences(tx: Transaction, own: Endorsement, rwset: ReadWriteSet) -> list[Finding]:
    """Everything in which the record differs; `rwset` is our own in the ledger's form. Empty: equal bytes."""
    recorded = tx.rwsets.get(tx.chaincode, ReadWriteSet())
    found = list(_writes(tx, dict(rwset.writes), dict(recorded.writes)))
    if not found and (rwset.reads, rwset.ranges) != (recorded.reads, recorded.ranges):
        found += _reads(tx, rwset, recorded)
    if not found and recorded.writes != rwset.writes:
        found.append(tx.finding(Class.RESULT, "its writes are not in their order, or not unique"))
    answer, recorded_answer = (own.status, own.message, own.payload), (tx.status, tx.message, tx.payload)
    if answer != recorded_answer:
        what = f"{tx.name} answers something else when it is run again"
        found.append(tx.finding(Class.RESULT, what, _text(own.payload), _text(tx.payload)))
    if own.event != tx.event:
        found.append(
            tx.finding(Class.RESULT, f"the event of {tx.name} is another", str(own.event), str(tx.event))
        )
    return found


def refused(tx: Transaction, message: str, *, genuine: bool) -> Finding:
    """The record says valid, and the contracts refuse it; `genuine`: every beacon it carries verifies."""
    kind = _TRANSACTIONS.get(tx.name) or _CONTRACTS.get(tx.name.partition(":")[0], Class.RESULT)
    if not genuine:
        kind = Class.BEACON
    elif "draw is bound to beacon" in message:
        kind = Class.DRAW
    elif "stale" in message or "past its deadline" in message:
        kind = Class.TIME
    return tx.finding(kind, f"{tx.name} is refused when it is run again", _text(message.encode()), "valid")


def beyond(tx: Transaction) -> list[Finding]:
    """What a settlement or an agreed view that cannot be run again writes beside its own job's keys and new credits."""
    job = tx.args[1].decode(errors="replace")
    found = []
    for key, value in tx.rwsets.get(tx.chaincode, ReadWriteSet()).writes:
        kind, _, rest = key.partition("/")
        new = kind in ("credit", "entry") and value is not None and tx.tx_id in rest.split("/")
        own = kind in _OF_A_JOB and rest.split("/")[0] == job
        if not (new or own):
            what = f"{tx.name} of job {job!r} writes {key}, which is not that job's"
            found.append(tx.finding(Class.FOREIGN, what, "", _shown(value)))
    return found


def _writes(
    tx: Transaction, own: dict[str, bytes | None], recorded: dict[str, bytes | None]
) -> Iterator[Finding]:
    for key in sorted(own.keys() | recorded.keys()):
        expected, found = own.get(key, _ABSENT), recorded.get(key, _ABSENT)
        if expected != found:
            kind, what = _named(key, expected, found)
            yield tx.finding(kind, f"{tx.name}: {what}", _shown(expected), _shown(found))


def _reads(tx: Transaction, own: ReadWriteSet, recorded: ReadWriteSet) -> Iterator[Finding]:
    mine, theirs = {*own.reads, *own.ranges}, {*recorded.reads, *recorded.ranges}
    what = f"{tx.name}: what it has read is not what it reads when it is run again"
    expected = ", ".join(sorted(str(each) for each in mine - theirs))
    found = ", ".join(sorted(str(each) for each in theirs - mine))
    yield tx.finding(Class.RESULT, what, _text(expected.encode()), _text(found.encode()))


_ABSENT = b"\0absent"


def _named(key: str, expected: bytes | None, found: bytes | None) -> tuple[Class, str]:
    """The class a differing key belongs to, and what it is in words."""
    prefix = key.partition("/")[0]
    kind = _KEYS.get(prefix, Class.RESULT)
    own, theirs = _fields(expected), _fields(found)
    changed = {name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name)}
    whole = expected in (None, _ABSENT) or found in (None, _ABSENT)
    match prefix:
        case "outcome" if whole:
            kind = Class.PARTICIPANT
        case "outcome" if changed <= {"payment", "sharing"}:
            kind = Class.PAYMENT
        case "outcome" if changed == {"slashed"}:
            kind = Class.SLASH
        case "lock" if whole:
            kind = Class.PARTICIPANT if found in (None, _ABSENT) else Class.SLASH
        case "lock" if "digest" in changed:
            kind = Class.COMMIT
        case "entry" if (own or theirs).get("kind") in _SLASHES:
            kind = Class.SLASH
        case "entry" if (own or theirs).get("kind") == "mint":
            kind = Class.MINT
        case "round" if not whole:
            kind = next((k for k, names in _ROUND_FIELDS.items() if changed.intersection(names)), kind)
        case _ if prefix not in _KEYS:
            return kind, f"{key} is not a key of the contracts"
    parts = f" in {', '.join(sorted(changed))}" if own and theirs else ""
    if found is _ABSENT:
        return kind, f"{key} is not written"
    if expected is _ABSENT:
        return kind, f"{key} must not be written"
    return kind, f"{key} differs{parts}"


def _fields(raw: bytes | None) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _shown(raw: bytes | None) -> str:
    if raw is _ABSENT:
        return "nothing"
    return "deleted" if raw is None else _text(raw)


def _text(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
