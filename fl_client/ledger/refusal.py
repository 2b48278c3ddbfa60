"""A chaincode's refusal, from its status and message to :class:`fl_client.errors.Refused`."""

from __future__ import annotations

from typing import Any

import msgspec

from fl_client.errors import Refused


class _Refusal(msgspec.Struct):
    code: int
    message: str
    details: dict[str, Any] = {}


def parse_refusal(status: int, message: str) -> Refused:
    """The typed refusal in ``message`` (canonical JSON); any other text is taken as it is.

    The status decides the code: it is what the peers act on.
    """
    try:
        refusal = msgspec.json.decode(message.encode(), type=_Refusal)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):  # a lying peer's
        return Refused(status, message)
    return Refused(status, refusal.message, refusal.details)
