"""How rules, rounds and pay combine: one file a mechanism, by the name a job uses."""

from collections.abc import Callable

from chaincode.mechanisms import paper
from chaincode.mechanisms.paper import Outcome

Settle = Callable[..., dict[str, Outcome]]

MECHANISMS: dict[str, Settle] = {"paper": paper.settle}

__all__ = ["MECHANISMS", "Outcome", "Settle"]
