"""The lab: whole jobs with honest clients and attackers in one process, scored by the contract's own code.

The chaincode's mechanisms and rules settle every simulated round (`chaincode.mechanisms`, `chaincode.mtpp`); nothing
here computes a score. What the lab adds: worlds, attackers, statistics, and other measures of contribution.
"""
