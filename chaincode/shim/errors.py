"""What a contract raises to say no, and what the shim raises when something is broken.

Exception
├── Refusal                      the contract says no: the caller gets ``code`` (400-499), nothing is written
│   ├── Invalid (400)            the call is malformed and will always be
│   ├── Forbidden (403)          this caller may not
│   ├── NotFound (404)           there is no such thing, at least not yet
│   ├── Conflict (409)           the thing is in another state than this call needs
│   ├── Unprocessable (422)      well formed, and impossible
│   ├── TooEarly (425)           not yet
│   └── TooMany (429)            a limit is used up
├── PeerError                    the peer failed a request of this transaction: 500
└── Defect                       the chaincode broke a rule of its own: 500
"""

from __future__ import annotations

from typing import Any

import msgspec

MESSAGE_LIMIT = 500
DETAILS_LIMIT = 4096


class Refusal(Exception):
    """The contract refuses the call; ``code`` is 400-499 and tells the client whether to try again.

    ``details`` are JSON values that help the caller's program; they reach the caller, so nothing
    secret belongs in them.
    """

    def __init__(self, code: int, message: str, /, **details: Any) -> None:
        if not 400 <= code <= 499:
            raise ValueError(f"a refusal's code lies in 400-499, not {code}")
        super().__init__(message)
        self.code, self.message, self.details = code, message, details

    def to_json(self) -> str:
        """Canonical JSON ``{"code":…,"details":{…},"message":…}``; never fails."""
        body = {
            "code": self.code,
            "message": _printable(self.message),
            "details": self.details,
        }
        try:
            return _canonical(body)
        except (
            TypeError,
            ValueError,
            RecursionError,
        ):  # details that are no JSON must not hide the refusal
            return _canonical(body | {"details": {}})


class _Coded(Refusal):
    _code: int

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(self._code, message, **details)


class Invalid(_Coded):
    """400: malformed; the same call can never succeed."""

    _code = 400


class Forbidden(_Coded):
    """403: this caller may not do this."""

    _code = 403


class NotFound(_Coded):
    """404: what the call names does not exist (yet)."""

    _code = 404


class Conflict(_Coded):
    """409: the state does not allow it now."""

    _code = 409


class Unprocessable(_Coded):
    """422: well formed, but impossible."""

    _code = 422


class TooEarly(_Coded):
    """425: the time for it has not come."""

    _code = 425


class TooMany(_Coded):
    """429: a limit is used up."""

    _code = 429


class PeerError(Exception):
    """The peer answered a request with ERROR, or its stream ended; the transaction cannot go on."""


class Defect(Exception):
    """The chaincode did what it declared not to do, for example a write in a query."""


def _canonical(body: dict[str, Any]) -> str:
    encoded = msgspec.json.encode(body, order="sorted")
    if len(encoded) > DETAILS_LIMIT:
        encoded = msgspec.json.encode(body | {"details": {}}, order="sorted")
    return encoded.decode()


def _printable(message: str) -> str:
    # A lone surrogate cannot be put into a protobuf string, and an endless message not into a log.
    return message.encode("utf-8", "replace").decode()[:MESSAGE_LIMIT]
