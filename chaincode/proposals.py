"""What governance can decide, as types: one record an action, and the proposal that holds the votes. Pure data.

Source: docs/protocol.md, Governance.
"""

from __future__ import annotations

from chaincode.beacon import BeaconInfo
from chaincode.records import (
    Account,
    CreditIds,
    Hex32,
    MemberId,
    MspId,
    Name,
    Positive,
    Record,
    Registration,
    RoundNumber,
    Seconds,
)


class Mint(Record, frozen=True, kw_only=True, tag="mint", tag_field="action"):
    """Create `amount` new tokens for `account`."""

    account: Account
    amount: Positive


class AdmitOrganisation(Record, frozen=True, kw_only=True, tag="admit-org", tag_field="action"):
    """Add an organisation to the electorate and to those whose clients may register."""

    msp_id: MspId


class RemoveOrganisation(Record, frozen=True, kw_only=True, tag="remove-org", tag_field="action"):
    """Take an organisation's vote, and its members' right to register and to commit. Their money stays theirs."""

    msp_id: MspId


class SetRegistration(Record, frozen=True, kw_only=True, tag="set-registration", tag_field="action"):
    """New terms for those who register from now on."""

    registration: Registration


class SetBeacon(Record, frozen=True, kw_only=True, tag="set-beacon", tag_field="action"):
    """Another chain of beacons for votes and new jobs, with its F and margin where they change too."""

    beacon: BeaconInfo
    freshness: Seconds | None = None
    margin: Seconds | None = None


class SuspendMember(Record, frozen=True, kw_only=True, tag="suspend-member", tag_field="action"):
    """Stop a member from committing, spending and leaving; a round it is in goes on as it began."""

    member: MemberId


class ReinstateMember(Record, frozen=True, kw_only=True, tag="reinstate-member", tag_field="action"):
    """End a suspension."""

    member: MemberId


class Recover(Record, frozen=True, kw_only=True, tag="recover", tag_field="action"):
    """Give a member whose key is lost or stolen another acting key (SHA-256 of its SubjectPublicKeyInfo)."""

    member: MemberId
    key: Hex32


class SpendTreasury(Record, frozen=True, kw_only=True, tag="spend-treasury", tag_field="action"):
    """Pay out of the treasury, from the credits named here; to the treasury itself it merges them."""

    to: Account
    amount: Positive
    credits: CreditIds


class VoidRound(Record, frozen=True, kw_only=True, tag="void-round", tag_field="action"):
    """End a stalled round: locks return, and who has revealed shares the round's pool."""

    job: Name
    round: RoundNumber


class AbortJob(Record, frozen=True, kw_only=True, tag="abort-job", tag_field="action"):
    """End a job, and its running round as `void-round` does; the rest of the escrow returns to the sponsor."""

    job: Name


Action = (
    Mint
    | AdmitOrganisation
    | RemoveOrganisation
    | SetRegistration
    | SetBeacon
    | SuspendMember
    | ReinstateMember
    | Recover
    | SpendTreasury
    | VoidRound
    | AbortJob
)


class Proposal(Record, frozen=True, kw_only=True):
    """One governance proposal with its votes; `expires` is beacon time.

    `target` is what the action would replace, as it was when proposed: a change of it in between is a conflict.
    """

    action: Action
    proposer: MspId
    approvals: list[str]
    rejections: list[str]
    expires: int
    target: str = ""
    status: str = "open"  # open, executed, rejected, withdrawn
