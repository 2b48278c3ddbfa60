"""How rules, rounds and pay combine: one file a mechanism, by the name a job uses."""

from chaincode.mechanisms.base import Case, Mechanism, Outcome
from chaincode.mechanisms.floor import QualifyAndVestFloor
from chaincode.mechanisms.paper import Paper
from chaincode.mechanisms.per_round import PerRound
from chaincode.mechanisms.qualify_and_vest import QualifyAndVest
from chaincode.mechanisms.sharp import QualifyAndVestSharp

MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (QualifyAndVest(), QualifyAndVestFloor(), QualifyAndVestSharp(), PerRound(), Paper())
}

__all__ = ["MECHANISMS", "Case", "Mechanism", "Outcome"]
