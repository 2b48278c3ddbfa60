"""Output agreement: pay for every match. A baseline: whoever always says the commonest label is paid too."""

from chaincode.mtpp.counts import agreements
from chaincode.mtpp.rule import Reports, Rule, Scores, View


class OutputAgreement(Rule):
    """s = the number of tasks on which both agree."""

    name = "output-agreement"

    def norm(self, tasks: int, alphabet: int) -> int:
        return tasks

    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        return 0, tasks

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        return agreements(reports, alphabet)
