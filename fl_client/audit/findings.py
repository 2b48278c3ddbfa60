"""What an audit finds: classes of discrepancy, findings, and the report they make up. Pure data."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

HOSTILE = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, ArithmeticError)
"""What reading forged records may raise in places nobody thought of: found out, and the audit goes on."""


class Class(StrEnum):
    """A class of discrepancy; `sentence` says what it means. The order is that of the checks."""

    EVIDENCE = "evidence file"
    FORMAT = "format"
    CHAIN = "block chain"
    ORDERER = "orderer signature"
    CONFIGURATION = "configuration"
    CREATOR = "creator"
    PROPOSAL = "proposal"
    ENDORSEMENT = "endorsement"
    DUPLICATE = "duplicate transaction"
    VALIDITY = "validation flag"
    FOREIGN = "foreign write"
    CONTENT = "content"
    MISSING = "missing content"
    TERMS = "terms"
    GOVERNANCE = "governance"
    MINT = "mint"
    SUPPLY = "supply"
    MEMBERSHIP = "membership"
    JOB = "job"
    BEACON = "beacon"
    TIME = "time"
    PHASE = "phase"
    COMMIT = "commit"
    PARTICIPANT = "participant"
    DRAW = "draw"
    REPORT = "report"
    SCORE = "score"
    PAYMENT = "payment"
    SLASH = "slash"
    AGGREGATE = "aggregate"
    RESULT = "transaction result"

    @property
    def sentence(self) -> str:
        """What is wrong, in plain words."""
        return SENTENCES[self]


SENTENCES = {
    Class.EVIDENCE: "The evidence is damaged or incomplete: it is not what its manifest says.",
    Class.FORMAT: "A block or a transaction cannot be read.",
    Class.CHAIN: "The blocks do not form the chain of hashes they claim.",
    Class.ORDERER: "A block is not signed by the ordering service of the channel.",
    Class.CONFIGURATION: "The channel's configuration was changed without the signatures it takes.",
    Class.CREATOR: "A transaction is not signed by a member of an organisation of the channel.",
    Class.PROPOSAL: "What was endorsed is not an answer to what was proposed.",
    Class.ENDORSEMENT: "A transaction counts as valid without the peers of more than half of the organisations.",
    Class.DUPLICATE: "A transaction was replayed: its id has been used before.",
    Class.VALIDITY: "A transaction's mark, valid or not, is not the one its reads lead to.",
    Class.FOREIGN: "A transaction of this chaincode writes what is not the chaincode's.",
    Class.CONTENT: "Content does not hash to the name it goes by.",
    Class.MISSING: "Content that the job depends on is not there, so that a step cannot be recomputed.",
    Class.TERMS: "The consortium or the job was founded on other terms than the auditor expects.",
    Class.GOVERNANCE: "A decision of the consortium is not what its votes lead to.",
    Class.MINT: "Tokens were made that no vote made.",
    Class.SUPPLY: "What was minted and what is held are not equal.",
    Class.MEMBERSHIP: "A member's record is not what its transaction leads to.",
    Class.JOB: "A job's record is not what its creation or its end leads to.",
    Class.BEACON: "A beacon does not verify under the public key, or is not the one a draw was bound to.",
    Class.TIME: "A step was taken with a beacon older than what the chain had already seen.",
    Class.PHASE: "A round's state is not what its transaction leads to.",
    Class.COMMIT: "A commit is not what its member promised, or was not open to it.",
    Class.PARTICIPANT: "A participant was left out, or somebody counts who did not take part.",
    Class.DRAW: "A draw is not the one its beacon gives.",
    Class.REPORT: "A reveal or a report is not the one its member committed to.",
    Class.SCORE: "A score is not what the reports and the draws lead to.",
    Class.PAYMENT: "A payment or a transfer is not what its transaction leads to.",
    Class.SLASH: "A lock, a bond or a slash is not what its transaction leads to.",
    Class.AGGREGATE: "A round's model is not what its valid updates combine to.",
    Class.RESULT: "A transaction's answer or event is not what running it again gives.",
}


class Finding(msgspec.Struct, frozen=True):
    """One discrepancy and where it is; `block` -1: of the evidence as a whole."""

    kind: Class
    what: str
    block: int = -1
    tx_id: str = ""
    expected: str = ""
    found: str = ""

    @property
    def where(self) -> str:
        """Block and transaction, as a person looks them up."""
        place = f"block {self.block}" if self.block >= 0 else "evidence"
        return f"{place}, transaction {self.tx_id[:12]}" if self.tx_id else place


class Line(msgspec.Struct, frozen=True):
    """Something that was recomputed, in plain words; `ok` None: it could not be, or is only to be known."""

    topic: str
    text: str
    ok: bool | None = True
    block: int = -1
    tx_id: str = ""
    round: int = 0


class Totals(msgspec.Struct, frozen=True):
    """Where all money is after a block."""

    block: int
    minted: int
    credits: int
    deposits: int
    locks: int
    escrows: int

    @property
    def held(self) -> int:
        """The sum of everything held."""
        return self.credits + self.deposits + self.locks + self.escrows


class Score(msgspec.Struct, frozen=True):
    """What a participant's round came to."""

    round: int
    member: str
    score: int
    norm: int
    payment: int
    slashed: int


class Report(msgspec.Struct, frozen=True):
    """The whole audit. Clean when there is no finding."""

    job: str
    ledger: Literal["fabric", "embedded"]
    channel: str
    chaincode: str
    blocks: int
    first_hash: str
    last_hash: str
    state: str  # SHA-256 over all keys and values after the newest block, as the contracts lead to them
    transactions: int
    executed: int
    findings: list[Finding]
    lines: list[Line]
    terms: dict[str, str]
    counts: dict[str, int]
    totals: list[Totals]
    scores: list[Score]
    format: str = "candor-audit/1"

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def classes(self) -> list[Class]:
        """The classes found, the first one first."""
        return list(dict.fromkeys(finding.kind for finding in self.findings))
