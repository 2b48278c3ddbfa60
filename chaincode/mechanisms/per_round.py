"""Reports in every round, each on a fresh public batch, from models that saw private data alone.

For jobs whose data keeps arriving. With `matched-blocks` the rule needs the public model's view of the tasks,
which float inference gives a little differently on different machines: every member of the committee publishes
its own, and `agreed` makes one of them (chaincode/contracts/aggregation/views.py). Source: facts on the
mechanism, designs S and MB.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from chaincode.mechanisms.base import Case, Mechanism, Outcome, settle_by_peers
from chaincode.mtpp.rule import Integers, View
from chaincode.view import pack

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

    The second label is the plurality of those that are not the first label agreed on: so the two always differ
    if they do in each view. The order of the views makes no difference.

    Raises:
        ValueError: there is no view, or one lacks a field or is not of the first one's length.
    """
    if not views:
        raise ValueError("views: there is none")
    if views[0].z is None:
        raise ValueError("view.z: missing, and the rule needs it")
    tasks = len(views[0].z)
    labels = {name: np.stack([view.field(name, tasks) for view in views]) for name in ("z", "z2")}
    margins, place = np.stack([view.field("margin", tasks) for view in views]), (len(views) - 1) // 2
    middle: Integers = np.partition(margins, place, axis=0)[place]
    first = _plurality(labels["z"], np.zeros(labels["z"].shape, bool))
    return View(first, _plurality(labels["z2"], labels["z2"] == first), middle)


def outliers(views: Sequence[View], common: View) -> list[int]:
    """Which views have another first or second label than the agreed one on more than a tenth of the tasks.

    Honest machines differ on a task or two, where the margin is nearly 0: nobody loses a bond over that.
    """
    return [i for i, view in enumerate(views) if apart(view, common)]


def combine(seen: Mapping[str, View], alphabet: int) -> tuple[bytes, list[str]]:
    """The agreed view of these members', packed (chaincode.view), and whose are outliers; b"" where there is none."""
    if not seen:
        return b"", []
    members = sorted(seen)
    each = [seen[member] for member in members]
    common = agreed(each)
    return pack(common, alphabet), [members[i] for i in outliers(each, common)]


def apart(view: View, common: View) -> bool:
    """Whether two views of the same tasks differ grossly."""
    tasks = 0 if common.z is None else len(common.z)
    other = [view.field(name, tasks) != common.field(name, tasks) for name in ("z", "z2")]
    return GROSS * int((other[0] | other[1]).sum()) > tasks


def _plurality(labels: Integers, barred: npt.NDArray[np.bool_]) -> Integers:
    """The most frequent label of each column that is not barred: twice (views, tasks) → (tasks,), int64.

    A column's labels are compared pair by pair: k² comparisons a task, whatever the alphabet.
    """
    labels = labels.astype(np.uint8)  # labels are below 256; four times as fast
    most, found = np.full(labels.shape[1], -1, np.int16), np.zeros(labels.shape[1], np.uint8)
    for row, out in zip(labels, barred, strict=True):
        votes = np.where(out, np.int16(-1), (labels == row).sum(axis=0, dtype=np.int16))
        better = (votes > most) | ((votes == most) & (row < found))
        most, found = np.where(better, votes, most), np.where(better, row, found)
    return found.astype(np.int64)
