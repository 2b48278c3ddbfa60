"""The scoring rules by the name a job uses."""

from chaincode.mtpp.conditional import Conditional
from chaincode.mtpp.correlated_agreement import CorrelatedAgreement
from chaincode.mtpp.dasgupta_ghosh import DasguptaGhosh
from chaincode.mtpp.determinant import Determinant
from chaincode.mtpp.matched_blocks import MatchedBlocks
from chaincode.mtpp.output_agreement import OutputAgreement
from chaincode.mtpp.peer_truth_serum import PeerTruthSerum
from chaincode.mtpp.rule import Rule

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        DasguptaGhosh(),
        CorrelatedAgreement(),
        Conditional(),
        MatchedBlocks(),
        PeerTruthSerum(),
        OutputAgreement(),
        Determinant(),
    )
}
