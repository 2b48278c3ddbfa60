"""Transactions whose content is not to be had: how far the contracts get without it, and what follows all the same.

A reveal writes what its arguments say; its content only decides whether it is refused. So what it writes is known
without the content. A settlement's writes, and those of an agreed view, are not: of these only the limits are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from chaincode.contracts import keys
from chaincode.encoding import canonical
from chaincode.records import Reveal
from chaincode.shim.memory import Endorsement, ReadWriteSet
from fl_client.audit.blocks import Transaction

REVEAL, ANSWER = "Rounds:reveal", "Aggregation:reveal"


class Absent(Exception):
    """Nothing but this content is wanting: CID -> whose it is ("": the round's view); `rwset`: so far."""

    def __init__(self, missing: Mapping[str, str], rwset: ReadWriteSet) -> None:
        super().__init__(", ".join(missing))
        self.missing, self.rwset = dict(missing), rwset


def wanting(refusal: Endorsement, names: Collection[str]) -> bool:
    """Whether the contracts have refused a call for want of these entries of its transient map, and of no others."""
    try:
        asked = msgspec.json.decode(refusal.message)["details"]["missing"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(asked) and all({f"{each}", f"report/{each}", f"view/{each}"} & set(names) for each in asked)


def on_trust(tx: Transaction, member: str, rwset: ReadWriteSet) -> Endorsement | None:
    """What a member's reveal comes to if its content is sound; None where that depends on the content."""
    if tx.name not in (REVEAL, ANSWER):
        return None
    job, number, *rest = (each.decode() for each in tx.args[1:])
    place = job, int(number)
    if tx.name == REVEAL:
        report, update, salt = rest
        shown = Reveal(report=report, update=update, salt=salt)
        writes = {keys.reveal(*place, member): canonical(shown)}
    else:
        attempt, model, _, view = rest
        writes = {
            keys.opened(*place, int(attempt), member): canonical(model),
            keys.view(*place, int(attempt), member): canonical(view),
        }
    made = ReadWriteSet(rwset.reads, rwset.ranges, tuple(sorted(writes.items())))
    return Endorsement(200, "", b"", made, None)
