"""The token's books, kept beside the contracts: both sides of the supply after every transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from chaincode.contracts import keys
from chaincode.records import Amount
from fl_client.audit.findings import Totals


class Books:
    """Sums what the written keys are worth, by kind, without asking the contracts."""

    def __init__(self) -> None:
        self._worth = dict.fromkeys(("minted", "credits", "deposits", "locks", "escrows"), 0)

    def write(self, key: str, old: bytes | None, new: bytes | None) -> None:
        """A key changes from `old` to `new` (None: it is not there)."""
        kind = _kind(key)
        if kind:
            self._worth[kind] += _amount(kind, new) - _amount(kind, old)

    def totals(self, block: int) -> Totals:
        """Both sides as they stand."""
        return Totals(block=block, **self._worth)


def _kind(key: str) -> str:
    if key == keys.SUPPLY:
        return "minted"
    prefix = key.partition("/")[0]
    return {"credit": "credits", "member": "deposits", "lock": "locks", "escrow": "escrows"}.get(prefix, "")


def _amount(kind: str, raw: bytes | None) -> int:
    try:
        value: Any = msgspec.json.decode(raw) if raw else 0
        match kind:
            case "credits":
                value = value and value["amount"]
            case "deposits":
                value = value and value["deposit"]
            case "locks":
                return _units(value and value["stake"]) + _units(value and value["bond"])
        return _units(value)
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0  # not a record of ours: running its transaction again says so


def _units(value: Any) -> int:
    """An amount of the token; nothing is worth less than 0, and no debt makes up for a credit."""
    return msgspec.convert(value, type=Amount)
