"""Which keys each contract may write: what no input may make it exceed (invariant 8)."""

from __future__ import annotations

import msgspec

from chaincode.shim.memory import ReadWriteSet
from tests.world import World

MONEY = ("credit/", "entry/")
ROUND = ("round/", "escrow/", "lock/")
VOTED = ("supply", "consortium", "member/", "key/", "slot/", "cancelled/", "outcome/", *MONEY, *ROUND)

DECLARED: dict[str, tuple[str, ...]] = {
    "Governance": ("proposal/", *VOTED),
    "Registry": ("allow/", "member/", "key/", *MONEY),
    "Token": MONEY,
    "Jobs": ("job/", "escrow/", "cancelled/", *MONEY),
    "Rounds": ("slot/", "reveal/", *ROUND, *MONEY),
    "Settlement": ("missing/", "outcome/", *ROUND, *MONEY),
    "Aggregation": (
        "ballot/",
        "answer/",
        "opened/",
        "partial/",
        "view/",
        "witness/",
        "outcome/",
        *ROUND,
        *MONEY,
    ),
    "Beacon": (),
}


def undeclared(world: World) -> list[tuple[str, str]]:
    """(transaction, key) of every write on the chain that its contract does not declare; also odd keys."""
    found = []
    for block in world.network.blocks:
        for record in block.transactions:
            found += [
                (record.args[0].decode(), key)
                for key in writes(record.read_write_set)
                if not key.startswith(DECLARED[record.args[0].decode().partition(":")[0]])
                or not key.isprintable()
            ]
    return found


def writes(read_write_set: bytes) -> list[str]:
    """The keys a transaction writes."""
    return [key for key, _ in msgspec.msgpack.decode(read_write_set, type=ReadWriteSet).writes]
