"""A coalition's clients on a network: a channel of their own, and each one's part in what they agreed on.

The first of them leads: it alone works. The others tell it what they have, wait, and hand in what it gives them, all
before the commit. To the protocol they are clients like any other.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fl_client.errors import CandorError
from fl_client.incentives.attackers import Coalition
from fl_client.training.behaviour import Honest, Work

PATIENCE = (
    300.0  # seconds for a word from an accomplice; the first one from a process that starts may take a minute
)
LOOK = 0.1


class Channel:
    """Messages between accomplices: a directory (mode 700) that only they read, a file (600) a message."""

    def __init__(self, directory: Path, patience: float = PATIENCE) -> None:
        self._directory, self._patience = directory, patience

    def put(self, name: str, arrays: Sequence[np.ndarray]) -> None:
        """Leave a message, whole or not at all; the same again after a restart."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = io.BytesIO()
        np.savez(content, *arrays)
        handle, path = tempfile.mkstemp(dir=self._directory)
        with os.fdopen(handle, "wb") as file:
            file.write(content.getvalue())
        os.replace(path, self._directory / f"{name}.npz")

    def take(self, name: str) -> list[np.ndarray]:
        """A message, as soon as it is there. CandorError: it does not come."""
        path, end = self._directory / f"{name}.npz", time.monotonic() + self._patience
        while not path.exists():
            if time.monotonic() > end:
                raise CandorError(
                    f"no {path.name} from the coalition within {self._patience:.0f} s",
                    f"See whether its other clients run, and share {self._directory}",
                )
            time.sleep(LOOK)
        with np.load(path, allow_pickle=False) as found:
            return [found[f"arr_{place}"] for place in range(len(found.files))]


class Accomplice(Honest):
    """One client of a coalition. The others contribute the leader's model as theirs."""

    def __init__(self, plot: Coalition, channel: Channel, place: int, members: int) -> None:
        """``place``: among the coalition's ``members``, the leader's being 0."""
        self._plot, self._channel, self._place, self._members = plot, channel, place, members
        self.needs_data = plot.needs_data

    def train(self, work: Work) -> Sequence[np.ndarray]:
        """See Behaviour. The leader's honest model."""
        if self._place:
            self._channel.put(f"{work.round}-has-{self._place}", [work.x, work.y, np.array(work.seed)])
            return self._channel.take(f"{work.round}-model")
        weights = super().train(work)
        self._channel.put(f"{work.round}-model", weights)
        return weights

    def infer(self, work: Work, weights: Sequence[np.ndarray]) -> np.ndarray:
        """See Behaviour. What the coalition agreed on for this client."""
        if self._place:
            return self._channel.take(f"{work.round}-report-{self._place}")[0]
        works = [work, *self._others(work)]
        reports = self._plot.reports(works, _HonestReports(works))
        for place, report in enumerate(reports):
            self._channel.put(f"{work.round}-report-{place}", [report])
        return reports[0]

    def _others(self, work: Work) -> Iterator[Work]:
        """What the others have in hand; nothing of identities that bring no data."""
        for place in range(1, self._members - self._plot.extra):
            x, y, seed = self._channel.take(f"{work.round}-has-{place}")
            yield replace(work, x=x, y=y, seed=int(seed))


class _HonestReports(Sequence[np.ndarray]):
    """What each would report if it were honest, trained when it is asked for: most coalitions ask for one."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._works = works

    def __len__(self) -> int:
        return len(self._works)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        work, honest = self._works[place], Honest()
        return honest.infer(work, [] if work.local_only else honest.train(work))
