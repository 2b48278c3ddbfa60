"""Reports in every round, each on a fresh public batch, from models that saw private data alone.

For jobs whose data keeps arriving. With `matched-blocks` the rule needs the public model's view of the tasks,
which float inference gives a little differently on different machines: every member of the committee publishes
its own, and `agreed` makes one of them. Not yet in the protocol: there a job has the one view that its creator
fixed. Source: facts on the mechanism, designs S and MB.
"""

from collections.abc import Sequence

import numpy as np

from chaincode.mechanisms.base import Case, Mechanism, Outcome, settle_by_peers
from chaincode.mtpp.rule import Integers, View

GROSS = 10  # a view is an outlier if it differs from the agreed one on more than 1 in GROSS tasks


class PerRound(Mechanism):
    """As `paper`, but with local-only reports: copying the public model earns nothing under matched blocks."""

    name = "per-round"
    local_only = True

    def settle(self, case: Case) -> dict[str, Outcome]:
        """See Mechanism."""
        return settle_by_peers(case)


def agreed(views: Sequence[View]) -> View:
    """One view of all: per task the plurality of each label (ties: the smallest), the lower median of margins.

    Raises:
        ValueError: there is no view, or one lacks a field or is not of the first one's length.
    """
    if not views:
        raise ValueError("views: there is none")
    if views[0].z is None:
        raise ValueError("view.z: missing, and the rule needs it")
    tasks = len(views[0].z)
    labels = {name: np.stack([view.field(name, tasks) for view in views]) for name in ("z", "z2")}
    margins = np.sort(np.stack([view.field("margin", tasks) for view in views]), axis=0)
    middle: Integers = margins[(len(views) - 1) // 2]
    return View(_plurality(labels["z"]), _plurality(labels["z2"]), middle)


def outliers(views: Sequence[View], common: View) -> list[int]:
    """Which views' first labels differ from the agreed ones on more than a tenth of the tasks.

    Honest machines differ on a task or two, where the margin is nearly 0: nobody loses a bond over that.
    """
    tasks = 0 if common.z is None else len(common.z)
    z = common.field("z", tasks)
    return [i for i, view in enumerate(views) if GROSS * int((view.field("z", tasks) != z).sum()) > tasks]


def _plurality(labels: Integers) -> Integers:
    """(views, tasks) → (tasks,)."""
    columns = [np.bincount(column).argmax() for column in labels.T]
    return np.array(columns, np.int64)
