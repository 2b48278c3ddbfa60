"""The errors of the client, one class a circumstance.

CandorError
├── Refused            the contracts said no (``final`` or worth another try)
├── ReadConflict       somebody wrote what this transaction read; nothing happened
├── CommitRejected     the transaction was ordered and marked invalid
├── CommitTimeout      the outcome is unknown; ask again by transaction id
├── Disagreement       organisations answered differently
├── Unavailable        nothing answered
├── NotStored, TooLarge, Corrupt    content addressed storage
├── BadBeacon          a beacon that does not verify
└── BadInput           a file, a setting or an argument that cannot be used
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CandorError(Exception):
    """What happened, to what, and what to do about it; ``exit_code`` is the command line's."""

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy


class Refused(CandorError):
    """The contracts refused the call; ``code`` is protocol.md's."""

    exit_code = 3

    def __init__(self, code: int, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"refused ({code}): {message}")
        self.code, self.message, self.details = code, message, dict(details or {})

    @property
    def final(self) -> bool:
        """Whether trying the same call again can never succeed."""
        return self.code in (400, 403, 422)


class ReadConflict(CandorError):
    """Another transaction wrote what this one had read; read again and retry."""

    exit_code = 4


class CommitRejected(CandorError):
    """The transaction is in a block, marked invalid with ``code``."""

    exit_code = 4

    def __init__(self, tx_id: str, code: str) -> None:
        super().__init__(f"transaction {tx_id} was ordered but is invalid: {code}")
        self.tx_id, self.code = tx_id, code


class CommitTimeout(CandorError):
    """Nobody could say whether the transaction committed."""

    exit_code = 5

    def __init__(self, tx_id: str) -> None:
        super().__init__(f"no answer whether transaction {tx_id} committed", "Ask for it by its id")
        self.tx_id = tx_id


class Disagreement(CandorError):
    """Organisations gave different answers, and none has more than half."""

    exit_code = 6


class Unavailable(CandorError):
    """A peer, an orderer, a store or a beacon node could not be reached."""

    exit_code = 5


class NotStored(CandorError):
    """The store has no such content."""

    exit_code = 7


class TooLarge(CandorError):
    """The content is larger than the caller allows."""

    exit_code = 7


class Corrupt(CandorError):
    """The bytes do not hash to the CID they were asked for by."""

    exit_code = 7


class BadBeacon(CandorError):
    """A beacon that does not verify under the consortium's public key."""

    exit_code = 6


class BadInput(CandorError):
    """A file, setting or argument of the user's that cannot be used."""

    exit_code = 2
