"""The names of the ledger's keys: one function a kind, and nowhere else.

Parts never contain the separator (records.py's patterns), so no two kinds can collide.
"""

from __future__ import annotations

CONSORTIUM = "consortium"
SUPPLY = "supply"


def _of(*parts: str) -> str:
    return "/".join(parts)


def _round(job: str, number: int) -> str:
    return f"{job}/{number:06d}"


def proposal(name: str) -> str:
    """A governance proposal."""
    return _of("proposal", name)


def allowed_key(msp_id: str, key: str) -> str:
    """A key that may register (pre-known)."""
    return _of("allow", msp_id, "key", key)


def allowed_name(msp_id: str, name: str) -> str:
    """An enrolment id that may register (pre-known)."""
    return _of("allow", msp_id, "name", name)


def member(member_id: str) -> str:
    """A member's record."""
    return _of("member", member_id)


def acting_key(msp_id: str, key: str) -> str:
    """The member a key acts for."""
    return _of("key", f"{msp_id}:{key}")


def credit(account: str, tx_id: str = "", number: int | str = "") -> str:
    """A credit, or with the account alone the prefix of all of its credits."""
    return _of("credit", account, tx_id, str(number)) if tx_id else _of("credit", account, "")


def entry(account: str, tx_id: str = "", number: int | str = "") -> str:
    """A line of a statement, or the prefix of the account's statement."""
    return _of("entry", account, tx_id, f"{number:0>6}") if tx_id else _of("entry", account, "")


def job(name: str) -> str:
    """A job as created."""
    return _of("job", name)


def cancelled(name: str) -> str:
    """The flag of a cancelled job."""
    return _of("cancelled", name)


def escrow(name: str) -> str:
    """What is left of a job's pool."""
    return _of("escrow", name)


def state(name: str, number: int) -> str:
    """A round's state."""
    return _of("round", _round(name, number))


def slot(name: str, number: int, msp_id: str, index: int) -> str:
    """One of an organisation's places in a round."""
    return _of("slot", _round(name, number), msp_id, str(index))


def lock(name: str, number: int, member_id: str = "") -> str:
    """A commit with its money, or the prefix of a round's commits."""
    return _of("lock", _round(name, number), member_id)


def reveal(name: str, number: int, member_id: str = "") -> str:
    """An opened commit, or the prefix of a round's."""
    return _of("reveal", _round(name, number), member_id)


def outcome(name: str, number: int, member_id: str = "") -> str:
    """A participant's score and payment, or the prefix of a round's."""
    return _of("outcome", _round(name, number), member_id)


def missing(name: str, number: int, member_id: str = "", msp_id: str = "") -> str:
    """An organisation's vote that a report has vanished, or the prefix of a round's votes."""
    said = (member_id, msp_id) if member_id else ("",)
    return _of("missing", _round(name, number), *said)


def ballot(name: str, number: int, attempt: int, member_id: str) -> str:
    """A committee member's verdict on the updates."""
    return _of("ballot", _round(name, number), str(attempt), member_id)


def answer(name: str, number: int, attempt: int, member_id: str) -> str:
    """The digest of a committee member's aggregate."""
    return _of("answer", _round(name, number), str(attempt), member_id)


def opened(name: str, number: int, attempt: int, member_id: str) -> str:
    """The aggregate a committee member had committed to."""
    return _of("opened", _round(name, number), str(attempt), member_id)


def view(name: str, number: int, attempt: int, member_id: str) -> str:
    """The CID of a committee member's view of its aggregate."""
    return _of("view", _round(name, number), str(attempt), member_id)


def witness(name: str, number: int, attempt: int, member_id: str) -> str:
    """Whose views a committee member could not get."""
    return _of("witness", _round(name, number), str(attempt), member_id)


def partial(name: str, number: int, msp_id: str = "", member_id: str = "") -> str:
    """What a member says one organisation's updates combine to, or the prefix of a round's."""
    said = (msp_id, member_id) if msp_id else ("",)
    return _of("partial", _round(name, number), *said)
