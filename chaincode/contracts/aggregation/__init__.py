"""Who aggregates, and who checks (docs/protocol.md, step 9; the state machine is in docs/aggregation.md)."""

from chaincode.contracts.aggregation.contract import Aggregation

__all__ = ["Aggregation"]
