"""Amounts as people read and write them. Everywhere else they are integers in the smallest unit."""

from __future__ import annotations

import re

from fl_client.errors import BadInput
from fl_client.results import money

DECIMALS = 2
_AMOUNT = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,2}))?", re.ASCII)


def shown(units: int) -> str:
    """Units with the decimal point: 123450 is "1,234.50"."""
    return money(units, DECIMALS)


def read(text: str) -> int:
    """What a person means by "1234.5" in units.

    Raises:
        BadInput: it is no positive amount below 2^63 units with at most two decimals.
    """
    found = _AMOUNT.fullmatch(text.replace(",", ""))
    units = int(found[1]) * 10**DECIMALS + int((found[2] or "").ljust(DECIMALS, "0")) if found else 0
    if not 0 < units < 2**63:
        raise BadInput(f"{text!r} is not an amount", "Write it as in 1250 or 12.50")
    return units
