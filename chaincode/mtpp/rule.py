"""What a scoring rule is: pair scores for all clients at once, in integers, with known bounds.

n = clients, Q = scored tasks, C = symbols. Everything below holds for n ≤ 1,024, Q ≤ 65,536 and 2 ≤ C ≤ 256.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

CLIENTS_MAX = 1 << 10
TASKS_MAX = 1 << 16
ALPHABET_MIN, ALPHABET_MAX = 2, 256

Integers = npt.NDArray[np.integer]
Reports = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """What anyone knows about the scored tasks from the public model, each of shape (Q,), integers.

    `z`: its first label, `z2`: its second label, `margin`: its integer margin between them. Columns stand
    in the order of the reports' columns, which is ascending task number (`matched-blocks` breaks ties by
    it).
    """

    z: Integers | None = None
    z2: Integers | None = None
    margin: Integers | None = None

    def field(self, name: str, tasks: int) -> npt.NDArray[np.int64]:
        """One field as int64.

        Raises:
            ValueError: it is missing, not made of integers, or not of `tasks` tasks.
        """
        value: Integers | None = getattr(self, name)
        if value is None:
            raise ValueError(f"view.{name}: missing, and the rule needs it")
        if value.shape != (tasks,) or not np.issubdtype(value.dtype, np.integer):
            raise ValueError(f"view.{name}: {value.dtype} of shape {value.shape}, not {tasks} integers")
        return value.astype(np.int64)

    def at(self, places: Integers) -> "View":
        """The view of some of its tasks, in their order; a field that is missing stays so."""
        return View(*(None if field is None else field[places] for field in (self.z, self.z2, self.margin)))


NO_VIEW = View()


class Rule(ABC):
    """A scoring rule; stateless. `name` is what a job says, `needs` the fields of the view it reads."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def norm(self, tasks: int, alphabet: int) -> int:
        """What a score is divided by before it is paid; positive."""

    @abstractmethod
    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        """The least and the greatest pair score any reports, peers and view can give."""

    @abstractmethod
    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        """Pair scores of checked reports; the diagonal may hold anything."""

    def check(self, tasks: int, alphabet: int) -> None:
        """Refuse what the rule cannot score.

        Raises:
            ValueError: the message begins with `tasks` or `alphabet`.
        """
        if not 1 <= tasks <= TASKS_MAX:
            raise ValueError(f"tasks: {tasks} is not in [1, {TASKS_MAX}]")
        if not ALPHABET_MIN <= alphabet <= ALPHABET_MAX:
            raise ValueError(f"alphabet: {alphabet} is not in [{ALPHABET_MIN}, {ALPHABET_MAX}]")

    def cost(self, clients: int, tasks: int, alphabet: int) -> int:
        """Multiply-adds of one settlement, about: what a job's size is bounded by."""
        return clients * clients * alphabet * tasks

    def matrix(self, reports: Integers, alphabet: int, view: View = NO_VIEW) -> Scores:
        """Scores of all pairs.

        Args:
            reports: shape (n, Q), symbols in [0, C), one row a client.
            view: needed where `needs` says so.

        Returns:
            int64 of shape (n, n): [i, j] is i's score against j; 0 on the diagonal.

        Raises:
            ValueError: a shape, a symbol or a size is out of range, or the view lacks a field.
        """
        if reports.ndim != 2 or not np.issubdtype(reports.dtype, np.integer):
            raise ValueError(f"reports: {reports.dtype} of shape {reports.shape}, not rows of integers")
        clients, tasks = reports.shape
        if clients > CLIENTS_MAX:
            raise ValueError(f"reports: {clients} clients, more than {CLIENTS_MAX}")
        self.check(tasks, alphabet)
        if clients and (reports.min() < 0 or reports.max() >= alphabet):
            raise ValueError(f"reports: a symbol is outside [0, {alphabet})")
        if clients < 2:
            return np.zeros((clients, clients), np.int64)
        scores = self._score(np.ascontiguousarray(reports, np.uint8), alphabet, view)
        np.fill_diagonal(scores, 0)
        return scores

    def pair(
        self,
        x: Sequence[int] | Integers,
        y: Sequence[int] | Integers,
        alphabet: int,
        others: Sequence[Sequence[int] | Integers] = (),
        view: View = NO_VIEW,
    ) -> int:
        """The score of x against y by the code that settles; `others` are the reports of the other clients.

        Raises:
            ValueError: as `matrix`, or the reports differ in length.
        """
        rows: list[Any] = [x, y, *others]
        if len({len(row) for row in rows}) != 1:
            raise ValueError(f"reports: of different lengths, {sorted({len(row) for row in rows})}")
        return int(self.matrix(np.array(rows), alphabet, view)[0, 1])
