"""Multi-task peer prediction: scoring rules and payments. Pure functions on integers: no ledger, no I/O."""

from chaincode.mtpp.rule import NO_VIEW, Rule, View
from chaincode.mtpp.scores import RULES

__all__ = ["NO_VIEW", "RULES", "Rule", "View"]
