"""What a client does, by name: honest work, any attacker of the lab, a part in a coalition, or one's own class.

One registry for `candor client run`, the demo and the lab: ``module:Class`` names a `Behaviour` or a `Coalition` of
one's own, without constructor arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fl_client.coalition import Accomplice, Channel
from fl_client.errors import BadInput
from fl_client.incentives.attackers import ATTACKERS, Coalition, playing
from fl_client.training.behaviour import Behaviour, Honest, Learns

CONDUCTS: dict[str, type] = {"honest": Honest, **ATTACKERS}


def named(name: str) -> Behaviour | Coalition:
    """What is called ``name``, bundled or by import path; BadInput if there is nothing, or it is something else."""
    return playing(name, CONDUCTS, "behaviour")


def conduct(
    name: str, client: int = 0, coalition: Sequence[int] = (), channel: Path | None = None
) -> Behaviour:
    """The behaviour of the client with this place in the job.

    Args:
        coalition: the places of those who agree, this client's among them; the first one leads.
        channel: the directory they share, where the behaviour is a coalition's.
    """
    found = named(name)
    if not isinstance(found, Coalition):
        return found
    if channel is None or client not in coalition or len(coalition) < 2:
        raise BadInput(
            f"{name} is played by several clients who agree",
            'Give each of them "coalition", the list of their places, and "channel", a directory they share',
        )
    return Accomplice(found, Channel(channel), list(coalition).index(client), len(coalition))


def examples(
    conduct: Behaviour,
    own: tuple[np.ndarray, np.ndarray],
    public: np.ndarray,
    trainer: Learns,
    model: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """What it learns from: its own inputs and labels; where it claims to need none, the public inputs with the
    labels that the global ``model`` gives them."""
    if getattr(conduct, "needs_data", True):
        return own
    return public, trainer.predict(model, public)
