"""Sharing a data set out over clients, equally or with skewed labels."""

from __future__ import annotations

import numpy as np

KINDS = ("iid", "dirichlet")


def split(
    labels: np.ndarray,
    clients: int,
    rng: np.random.Generator,
    *,
    kind: str = "iid",
    alpha: float = 0.5,
    least: int = 10,
) -> list[np.ndarray]:
    """For each client the indices (int64) of its items; disjoint, and together all of ``labels`` (n,).

    ``iid``: shuffled, in equal parts (±1). ``dirichlet``: each label's items are shared out by a draw from
    Dirichlet(alpha) (Hsu et al. 2019), drawn again until every client has at least ``least`` items.
    ValueError: an unknown kind, or too few items.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown split {kind!r}, known: {', '.join(KINDS)}")
    if clients < 1 or len(labels) < clients * least:
        raise ValueError(f"{len(labels)} items cannot give each of {clients} clients {least}")
    if kind == "iid":
        return [np.sort(part) for part in np.array_split(rng.permutation(len(labels)), clients)]
    return _dirichlet(labels, clients, rng, alpha, least)


def _dirichlet(
    labels: np.ndarray, clients: int, rng: np.random.Generator, alpha: float, least: int, attempts: int = 1000
) -> list[np.ndarray]:
    for _ in range(attempts):
        owner = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            items = rng.permutation(np.flatnonzero(labels == label))
            cuts = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1] * len(items)
            owner[items] = np.searchsorted(cuts, np.arange(len(items)), side="right")
        if np.bincount(owner, minlength=clients).min() >= least:
            return [np.flatnonzero(owner == client) for client in range(clients)]
    raise ValueError(f"no Dirichlet({alpha}) split gave each of {clients} clients {least} items")
