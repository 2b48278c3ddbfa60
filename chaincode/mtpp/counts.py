"""Counts over all pairs of reports by matrix products, exact.

One-hot reports hold zeros and ones, so every entry of a product of two of them, and every partial sum on
the way, is a whole number of at most as many tasks as one product takes in. A product takes in at most
2^14 tasks: within 2^24 even when one factor holds per-task counts of up to 2^10 clients, and float32
represents all integers up to 2^24. The order in which BLAS adds therefore cannot matter. Products are
summed up in int64.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from chaincode.mtpp.rule import Reports

TASKS_A_PRODUCT = 1 << 14
FLOATS_AT_ONCE = 1 << 24
PAIR_COUNTS_AT_ONCE = 1 << 20

Counts = npt.NDArray[np.int64]


def label_counts(reports: Reports, alphabet: int) -> Counts:
    """How often each client uses each symbol: (n, Q) → (n, C)."""
    clients = len(reports)
    flat = reports.astype(np.int64) + alphabet * np.arange(clients)[:, None]
    counts: Counts = np.bincount(flat.ravel(), minlength=clients * alphabet).astype(np.int64)
    return counts.reshape((clients, alphabet))


def task_counts(reports: Reports, alphabet: int) -> Counts:
    """How many clients use each symbol on each task: (n, Q) → (Q, C)."""
    return label_counts(np.ascontiguousarray(reports.T), alphabet)


def agreements(reports: Reports, alphabet: int) -> Counts:
    """On how many tasks two clients agree: (n, Q) → (n, n)."""
    total = np.zeros((len(reports), len(reports)), np.int64)
    for _, hot in one_hot(reports, alphabet):
        flat = hot.transpose(1, 0, 2).reshape(len(reports), -1)
        total += (flat @ flat.T).astype(np.int64)
    return total


def symbol_agreements(reports: Reports, symbol: int) -> Counts:
    """On how many tasks two clients both say `symbol`: (n, Q) → (n, n)."""
    said = (reports == symbol).astype(np.float32)  # at most 2^16 tasks: within 2^24
    agreed: Counts = (said @ said.T).astype(np.int64)
    return agreed


def products_with(weights: Counts, reports: Reports, alphabet: int) -> Counts:
    """Σ_t weights[t, a]·1[client i says b on t]: weights (Q, C) of at most 2^10 → [i, a, b], (n, C, C)."""
    clients = len(reports)
    total = np.zeros((alphabet, clients * alphabet), np.int64)
    for tasks, hot in one_hot(reports, alphabet):
        total += (weights[tasks].astype(np.float32).T @ hot.reshape(len(hot), -1)).astype(np.int64)
    return total.reshape(alphabet, clients, alphabet).transpose(1, 0, 2)


def joint_counts(reports: Reports, alphabet: int) -> Iterator[tuple[slice, slice, Counts]]:
    """Joint counts of all pairs i ≤ j, a block of rows at a time.

    Yields:
        (rows, columns, N): N of shape (rows, columns, C, C), N[i, j, a, b] = tasks on which i says a and j
        says b; the columns run from the block's first row to the last client.
    """
    clients = len(reports)
    block = max(1, PAIR_COUNTS_AT_ONCE // max(1, clients * alphabet * alphabet))
    for start in range(0, clients, block):
        rows, columns = slice(start, min(start + block, clients)), slice(start, clients)
        height, width = rows.stop - start, clients - start
        total = np.zeros((height * alphabet, width * alphabet), np.int64)
        for _, hot in one_hot(reports[columns], alphabet):
            left = hot[:, :height].reshape(len(hot), -1)
            total += (left.T @ hot.reshape(len(hot), -1)).astype(np.int64)
        yield rows, columns, total.reshape(height, alphabet, width, alphabet).transpose(0, 2, 1, 3)


def one_hot(reports: Reports, alphabet: int) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """One-hot reports, some tasks at a time: (tasks, float32 of shape (tasks, n, C))."""
    clients, tasks = reports.shape
    step = max(1, min(TASKS_A_PRODUCT, FLOATS_AT_ONCE // max(1, clients * alphabet)))
    symbols = np.arange(alphabet, dtype=np.int64)
    for start in range(0, tasks, step):
        some = slice(start, min(start + step, tasks))
        yield some, (reports.T[some, :, None] == symbols).astype(np.float32)
