"""Which nodes to ask first: those that failed lately come last."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

_Node = TypeVar("_Node", bound=Hashable)


class Breaker:
    """Remembers failures for a growing while (``shortest`` to ``longest`` seconds).

    A node whose turn is over is moved to the end, never left out: it may be all there is.
    """

    def __init__(
        self, shortest: float = 1, longest: float = 30, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shortest, self._longest, self._clock = shortest, longest, clock
        self._failures: dict[Hashable, tuple[int, float]] = {}  # node -> how many in a row, avoid until

    def failed(self, node: Hashable) -> None:
        count = self._failures.get(node, (0, 0.0))[0] + 1
        pause = min(self._longest, self._shortest * 2.0 ** min(count - 1, 16))
        self._failures[node] = (count, self._clock() + pause)

    def worked(self, node: Hashable) -> None:
        self._failures.pop(node, None)

    def is_open(self, node: Hashable) -> bool:
        """Whether the node failed so lately that others should be asked first."""
        return self._failures.get(node, (0, 0.0))[1] > self._clock()

    def order(self, nodes: Iterable[_Node]) -> list[_Node]:
        """The nodes in their order, those with an open breaker last."""
        return sorted(nodes, key=self.is_open)
