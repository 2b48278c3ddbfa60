"""Determinant mutual information: for few symbols and many tasks. Pays a swap of labels in full.

Source: Kong 2020, "Dominantly truthful multi-task peer prediction with a constant number of tasks".
"""

from math import prod

import numpy as np

from chaincode.mtpp.counts import Counts, joint_counts
from chaincode.mtpp.rule import Reports, Rule, Scores, View

ALPHABET_MAX = 4


class Determinant(Rule):
    """s = det(N') · det(N''), the joint counts over the first ⌊Q/2⌋ tasks and over the rest.

    A determinant of C×C non-negative counts that sum to h is at most (h/C)^C, and so is every sum of
    products on the way to it; sizes for which the product of two could pass 2^62 are refused.
    """

    name = "determinant"

    def check(self, tasks: int, alphabet: int) -> None:
        super().check(tasks, alphabet)
        if alphabet > ALPHABET_MAX:
            raise ValueError(f"alphabet: {alphabet} is more than {ALPHABET_MAX}, this rule's most")
        if tasks < 2 * alphabet:
            raise ValueError(f"tasks: {tasks} is less than twice the alphabet of {alphabet}")
        if ((tasks + 1) // 2) ** (2 * alphabet) >= alphabet ** (2 * alphabet) << 62:
            raise ValueError(f"tasks: {tasks} with an alphabet of {alphabet} passes 62 bits")

    def norm(self, tasks: int, alphabet: int) -> int:
        return self.bounds(tasks, alphabet)[1]

    def bounds(self, tasks: int, alphabet: int) -> tuple[int, int]:
        """± the product of both halves' greatest determinants: diagonal and as even as can be."""
        greatest = prod(_greatest(half, alphabet) for half in (tasks // 2, tasks - tasks // 2))
        return -greatest, greatest

    def cost(self, clients: int, tasks: int, alphabet: int) -> int:
        return clients * clients * alphabet * alphabet * (tasks + 1000)

    def _score(self, reports: Reports, alphabet: int, view: View) -> Scores:
        half = reports.shape[1] // 2
        first, second = np.ascontiguousarray(reports[:, :half]), np.ascontiguousarray(reports[:, half:])
        return _determinants(first, alphabet) * _determinants(second, alphabet)


def _determinants(reports: Reports, alphabet: int) -> Scores:
    clients = len(reports)
    values = np.zeros((clients, clients), np.int64)
    for rows, columns, joint in joint_counts(reports, alphabet):
        values[rows, columns] = _determinant(joint)
        values[columns, rows] = values[rows, columns].T  # det Nᵀ = det N
    return values


def _determinant(matrices: Counts) -> Scores:
    """Cofactors along the first row, integers throughout: (…, C, C) → (…)."""
    size = matrices.shape[-1]
    if size == 1:
        return matrices[..., 0, 0]
    value = np.zeros(matrices.shape[:-2], np.int64)
    for column in range(size):
        minor = matrices[..., 1:, [c for c in range(size) if c != column]]
        value += (-1) ** column * matrices[..., 0, column] * _determinant(minor)
    return value


def _greatest(tasks: int, alphabet: int) -> int:
    each, more = divmod(tasks, alphabet)
    return int((each + 1) ** more * each ** (alphabet - more))
