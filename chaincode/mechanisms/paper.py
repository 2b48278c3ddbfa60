"""The mechanism as the paper describes it: every round the tuned model's report meets its peers'.

Source: paper section IV.A, steps 3 to 8. What it pays to whoever copies the public model is in
docs/incentives.md: from round 3 on as much as to the honest.
"""

from chaincode.mechanisms.base import Case, Mechanism, Outcome, settle_by_peers


class Paper(Mechanism):
    """Reports in every round, from the model tuned for the update; any rule, any number of peers."""

    name = "paper"
    local_only = False

    def settle(self, case: Case) -> dict[str, Outcome]:
        """See Mechanism."""
        return settle_by_peers(case)
