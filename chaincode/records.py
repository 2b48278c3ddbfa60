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
SPENDABLE = 500  # credits in one spend, and in one page of them
STATEMENT_PAGE = 100  # lines in one page
CreditIds = Annotated[list[Annotated[str, msgspec.Meta(max_length=160)]], msgspec.Meta(max_length=SPENDABLE)]

TREASURY = "treasury"
RULES_VERSION = 2


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


class Member(Record, frozen=True, kw_only=True):
    """A registered client; `id` is for life, `key` is the acting key's SHA-256, changed `rotations` times."""

    id: str
    msp_id: str
    key: str
    name: str
    deposit: int
    rotations: int = 0
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
    public_view: str = ""  # CID of a public model's answers on them (chaincode.view), where the rule needs it
    agree_view: bool = False  # it is the initial model's; the committee agrees on one of each later model
    model_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**30)]
    public_items: Annotated[int, msgspec.Meta(ge=2, le=2**22)]  # every client shuffles them
    tasks: Positive
    scored_tasks: Positive
    alphabet: Annotated[int, msgspec.Meta(ge=2, le=256)]
    rounds: RoundNumber
    mechanism: str = "qualify-and-vest"
    rule: str = "dasgupta-ghosh"
    combine: Literal["median", "mean"] = "median"
    peers: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0  # 0: all others
    prefer_other_organisations: bool = False
    pay_by_organisation: bool = False  # an organisation's members share one pay; qualify-and-vest only
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
    aggregation: Literal["majority", "optimistic"] = "majority"
    committee: Annotated[int, msgspec.Meta(ge=1, le=101)] = 1  # k; with 1 the drawn member decides alone
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    challenge_rounds: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 0  # beacon rounds; optimistic only
    light_check: bool | None = None  # None: where the mechanism pays for updates (scoring.checks_lightly)
    strategy: str = "fedavg"

    @property
    def pool(self) -> int:
        """The whole escrow."""
        return self.round_pool * self.rounds

    @property
    def grace(self) -> int:
        """V: seconds past its phase's deadline from which a vote may end a round, the length of a whole round."""
        return self.commit_seconds + self.reveal_seconds + self.missing_seconds + self.aggregate_seconds

    @property
    def lock(self) -> int:
        """What a commit locks."""
        return self.stake + self.bond

    def aggregation_seconds(self, period: int) -> int:
        """How long one attempt's windows last in all, with beacons every `period` seconds."""
        if self.committee == 1:
            return self.aggregate_seconds
        posted = self.aggregate_seconds + self.challenge_rounds * period
        viewed = 2 * self.aggregate_seconds if self.agree_view else 0
        return 3 * self.aggregate_seconds + viewed + (posted if self.aggregation == "optimistic" else 0)


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


class Stage(StrEnum):
    """Where an attempt to aggregate is, inside Phase.AGGREGATE (docs/aggregation.md)."""

    SOLE = "sole"  # a committee of one: verdicts and model come in one transaction
    VOTE = "vote"  # which updates are valid
    POST = "post"  # optimistic: waiting for the first of the committee
    CHALLENGE = "challenge"  # optimistic: posted, and final unless challenged
    COMMIT = "commit"  # digests of the committee's answers
    REVEAL = "reveal"  # the answers
    WITNESS = "witness"  # agreed views: the model is decided; which views of it the committee holds


class Reason(StrEnum):
    """Why a member of the committee refuses an update."""

    MISSING = "missing"  # it cannot be fetched
    MALFORMED = "malformed"  # not safetensors, not float32, not the model's number of tensors
    WRONG_SHAPE = "wrong-shape"
    NOT_FINITE = "not-finite"
    OVERSIZED = "oversized"  # more bytes than the model
    OVERFLOW = "overflow"  # the model plus the update exceeds float32
    NORM = "norm"  # light check: zero, or outside [1/16, 16] x the median of the others
    COSINE = "cosine"  # light check: too close to the member's own previous update, or too far from it
    DIRECTION = "direction"  # light check: nothing in common with the others' but what was known before


AggregationOutcome = Literal["", "sole", "majority", "optimistic", "kept"]


class RoundState(Record, frozen=True, kw_only=True):
    """The state key of a round. `deadline` belongs to the window that is open, `model` is the round's start."""

    job: str
    round: int
    phase: Phase
    model: str
    batch_round: int
    deadline: int
    view: str = ""  # CID of the public view that scores the round's reports, where the rule needs one
    qualification: int = 0  # the round whose scores later rounds pay by, where the mechanism vests
    extensions: int = 0
    pairing_round: int = 0
    pairing_randomness: str = ""
    sealed_at: int = 0
    sampling_round: int = 0
    sampling_randomness: str = ""
    set_aside: list[str] = []
    attempt: int = 0
    stage: Stage | None = None  # within phase AGGREGATE
    committee: list[str] = []  # of this attempt, in drawn order
    forfeited: list[str] = []  # who has lost its bond by missing a deadline; not drawn again
    passed_over: list[str] = []  # missed a vote that failed: not drawn again, its bond stays its own
    valid: list[str] = []  # whose updates the result combines
    voted: list[str] = []  # the valid set of the last vote that decided one, whatever became of the aggregate
    post: str = ""  # optimistic: CID of the model the first of the committee posted
    challenger: str = ""
    result: str = ""  # CID of the model the round ends with
    next_view: str = ""  # CID of the view of `result` on which the committee agreed
    aggregation_outcome: AggregationOutcome = (
        ""  # who decided the result; "kept": nobody, the previous model stays
    )

    @property
    def aggregator(self) -> str:
        """The first of the committee: it decides alone, or posts where the job is optimistic."""
        return self.committee[0] if self.committee else ""

    @property
    def voters(self) -> list[str]:
        """Who votes and answers: the committee, but for one whose challenged post stands for its answer.

        Once the model is decided also without those who have answered otherwise or not at all.
        """
        out = {*self.forfeited, *([self.aggregator] if self.challenger else [])}
        return [member for member in self.committee if member not in out]


class Lock(Record, frozen=True, kw_only=True):
    """A commit: what it promises, and the money behind it. Once settled, `stake` is what a challenge puts up."""

    digest: str
    stake: int
    bond: int


class Reveal(Record, frozen=True, kw_only=True):
    """An opened commit; `report` is empty in a round without reports."""

    report: str
    update: str
    salt: str


class Ballot(Record, frozen=True, kw_only=True):
    """A committee member's verdict: every update is valid but these."""

    refused: dict[str, Reason]


class Witness(Record, frozen=True, kw_only=True):
    """Which views a committee member holds: all but these members'."""

    missing: list[str]


class Progress(Record, frozen=True, kw_only=True):
    """What an attempt's committee has done so far."""

    ballots: dict[str, Ballot]
    committed: dict[str, str]  # member -> digest
    answers: dict[str, str]  # member -> CID
    views: dict[str, str] = {}  # member -> CID of its view of the model it answered with
    witnesses: dict[str, Witness] = {}


class Outcome(Record, frozen=True, kw_only=True):
    """What one participant's round came to: `score`/`norm` is the paid fraction of the price.

    The pair scores behind it follow from the public reports (chaincode.scoring), so they are not stored; nor
    are the names of those with whom a near-duplicate shares one pay, only how many they are, itself included.
    In a round without reports nothing is scored: `norm` is 0, and `payment` the tranche, once it is released.
    """

    score: int
    norm: int
    payment: int
    slashed: int = 0
    sharing: int = 0


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
