"""What a measure of contribution takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from fl_client.incentives.world import World

Reports = Sequence[Sequence[np.ndarray]]  # [round][client] (T,)


class Measured(msgspec.Struct, frozen=True):
    """One number a client, and how many federations had to be trained for it."""

    values: list[float]
    federations: int = 0


Measurement = Callable[[World, Reports], Measured]
