"""What the ledger holds, as types: shared by the contracts, the clients and the audit. Pure data.

Amounts are integers below 2^63 in the token's smallest unit; times are unix seconds of a beacon;
CIDs, digests and randomness are text (base32 or lowercase hex). Source: docs/protocol.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from chaincode.beacon import BeaconInfo

# Python's "$" also matches before a final newline; "(?!\n)" does not, and means nothing in other languages.
Amount = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=10**8)]
Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
MspId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$(?!\n)")]
MemberId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}:[0-9a-f]{64}$(?!\n)")]
Account = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}(:[0-9a-f]{64})?$(?!\n)")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)")]
RoundNumber = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
CreditIds = Annotated[list[str], msgspec.Meta(max_length=500)]

TREASURY = "treasury"
RULES_VERSION = 1


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything stored: immutable, strict, canonical JSON. (msgspec does not inherit kw_only.)"""


class Registration(Record, frozen=True, kw_only=True):
    """Who may become a member: allowed beforehand by the organisation's admin, and for which deposit."""

    pre_known: bool = True
    deposit: Amount = 0


class Consortium(Record, frozen=True, kw_only=True):
    """What founding fixed and governance changes: `Governance:init`."""

    organisations: list[MspId]
    beacon: BeaconInfo
    freshness: Seconds
    margin: Seconds
    registration: Registration


class Mint(Record, frozen=True, kw_only=True, tag="mint", tag_field="action"):
    """Create `amount` new tokens for `account`."""

    account: Account
    amount: Positive


class AdmitOrganisation(Record, frozen=True, kw_only=True, tag="admit-org", tag_field="action"):
    """Add an organisation to the electorate and to those whose clients may register."""

    msp_id: MspId


Action = Mint | AdmitOrganisation


class Proposal(Record, frozen=True, kw_only=True):
    """One governance proposal with its votes; `expires` is beacon time."""

    action: Action
    proposer: MspId
    approvals: list[str]
    rejections: list[str]
    expires: int
    status: str = "open"  # open, executed, rejected


class Member(Record, frozen=True, kw_only=True):
    """A registered client; `id` is for life, `key` is the acting key's SHA-256."""

    id: str
    msp_id: str
    key: str
    name: str
    deposit: int
    status: str = "active"  # active, suspended, left


class Credit(Record, frozen=True, kw_only=True):
    """Spendable value: one key, written blind and deleted by its spend."""

    amount: int


class Entry(Record, frozen=True, kw_only=True):
    """One permanent line of a statement: `amount` is signed, `other` the counterparty."""

    amount: int
    kind: str
    other: str
    memo: str = ""


class JobSpec(Record, frozen=True, kw_only=True):
    """All a job fixes. N = public_items, T = tasks, Q = scored_tasks, C = alphabet (docs/protocol.md)."""

    model: str  # CID of the initial model
    public_set: str  # CID of the public items
    model_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**30)]
    public_items: Positive
    tasks: Positive
    scored_tasks: Positive
    alphabet: Annotated[int, msgspec.Meta(ge=2, le=256)]
    rounds: RoundNumber
    mechanism: str = "paper"
    rule: str = "correlated-agreement"
    combine: Literal["median", "mean"] = "median"
    peers: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0  # 0: all others
    prefer_other_organisations: bool = False
    price: Positive  # paid for a perfect score
    stake: Amount
    bond: Amount = 0
    round_pool: Positive
    min_participants: Annotated[int, msgspec.Meta(ge=2, le=1024)]
    max_participants: Annotated[int, msgspec.Meta(ge=2, le=1024)]
    max_members_per_org: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    allow_list: Annotated[list[MemberId], msgspec.Meta(max_length=1024)] | None = None
    gap: Annotated[int, msgspec.Meta(ge=1, le=10**6)]  # beacon rounds
    commit_seconds: Seconds
    reveal_seconds: Seconds
    missing_seconds: Seconds
    aggregate_seconds: Seconds
    extensions: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    committee: Annotated[int, msgspec.Meta(ge=1, le=101)] = 1
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    strategy: str = "fedavg"

    @property
    def pool(self) -> int:
        """The whole escrow."""
        return self.round_pool * self.rounds

    @property
    def lock(self) -> int:
        """What a commit locks."""
        return self.stake + self.bond


class Job(Record, frozen=True, kw_only=True):
    """A job as created: its specification and what its rounds pin."""

    id: str
    sponsor: str
    spec: JobSpec
    beacon: BeaconInfo
    freshness: int
    rules_version: int = RULES_VERSION


class Phase(StrEnum):
    """Where a round is. Only phase changes write the round's state key."""

    COMMIT = "commit"  # window open
    CLOSED = "closed"  # participants fixed, waiting for the pairing beacon
    REVEAL = "reveal"  # window open
    SEALED = "sealed"  # reports fixed, waiting for the sampling beacon
    SETTLED = "settled"  # paid, waiting for the aggregation to begin
    AGGREGATE = "aggregate"  # window open
    FINAL = "final"
    VOID = "void"

    @property
    def over(self) -> bool:
        """Whether nothing can happen in the round any more."""
        return self in (Phase.FINAL, Phase.VOID)


class RoundState(Record, frozen=True, kw_only=True):
    """The state key of a round. `deadline` belongs to the window that is open, `model` is the round's start."""

    job: str
    round: int
    phase: Phase
    model: str
    batch_round: int
    deadline: int
    extensions: int = 0
    pairing_round: int = 0
    pairing_randomness: str = ""
    sealed_at: int = 0
    sampling_round: int = 0
    sampling_randomness: str = ""
    set_aside: list[str] = []
    attempt: int = 0
    aggregator: str = ""
    absent: list[str] = []  # drawn aggregators who missed their deadline
    valid: list[str] = []  # whose updates the result combines
    result: str = ""  # CID of the model the round ends with


class Lock(Record, frozen=True, kw_only=True):
    """A commit: what it promises, and the money behind it."""

    digest: str
    stake: int
    bond: int


class Reveal(Record, frozen=True, kw_only=True):
    """An opened commit."""

    report: str
    update: str
    salt: str


class Outcome(Record, frozen=True, kw_only=True):
    """What one participant's round came to: `score`/`norm` is the paid fraction of the price."""

    score: int
    norm: int
    payment: int
    peers: dict[str, int]  # peer -> pair score
    slashed: int = 0


class Holdings(Record, frozen=True, kw_only=True):
    """The two sides of the supply: what was minted, and where it is."""

    minted: int
    credits: int
    deposits: int
    locks: int
    escrows: int

    @property
    def held(self) -> int:
        """The sum of everything held."""
        return self.credits + self.deposits + self.locks + self.escrows
