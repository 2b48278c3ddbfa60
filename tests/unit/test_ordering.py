"""Orderers that follow one another, seen by their heights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from network.errors import NetworkError
from network.ordering import await_all


class Cluster:
    """Three orderers that an observer asks for their heights; ``replaced`` are those started again."""

    def __init__(self, *heights: list[int]) -> None:
        self._script = list(heights)
        self.replaced: list[int] = []

    def heights(self) -> list[int]:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def replace(self, index: int) -> None:
        self.replaced.append(index)
        self._script = [[9, 9, 9]]

    @property
    def both(self) -> tuple[Callable[[], list[int]], Callable[[int], None]]:
        return self.heights, self.replace


def test_orderers_with_the_same_blocks_are_left_alone() -> None:
    cluster = Cluster([7, 7, 7])
    await_all(*cluster.both, still=0)
    assert cluster.replaced == []


def test_one_that_catches_up_is_left_alone() -> None:
    cluster = Cluster([1, 7, 7], [4, 7, 7], [6, 7, 8], [8, 8, 8])
    await_all(*cluster.both, still=0)
    assert cluster.replaced == []


def test_one_that_stands_still_is_started_again() -> None:
    cluster = Cluster([7, 1, 7])
    await_all(*cluster.both, still=0)
    assert cluster.replaced == [1]


def test_one_that_does_not_answer_is_started_again() -> None:
    cluster = Cluster([7, 7, -1])
    await_all(*cluster.both, still=0)
    assert cluster.replaced == [2]


def test_a_cluster_that_never_agrees_is_named_with_its_heights() -> None:
    cluster = Cluster([7, 1, 7])
    with pytest.raises(NetworkError, match=r"do not follow one another .blocks: \[7, 1, 7\]."):
        await_all(cluster.heights, lambda index: None, still=0, patience=0)
