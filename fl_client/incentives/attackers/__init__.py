"""Every attacker the lab knows, by name; one's own by import path ``module:Class``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from fl_client.errors import BadInput
from fl_client.incentives.attackers import coalitions, defect, effort, lies, public, updates
from fl_client.incentives.attackers.base import Attacker, Coalition
from fl_client.named import make, resolve
from fl_client.training.behaviour import Behaviour

ATTACKERS: dict[str, type] = {
    "random": lies.Random,
    "constant": lies.Constant,
    "permutation": lies.Permutation,
    "label-swap": lies.LabelSwap,
    "flipped": lies.Flipped,
    "noisy": lies.Noisy,
    "reweighted": lies.Reweighted,
    "data-5": effort.Data5,
    "data-10": effort.Data10,
    "data-20": effort.Data20,
    "data-33": effort.Data33,
    "data-50": effort.Data50,
    "data-75": effort.Data75,
    "lazy-10": effort.Lazy10,
    "steps-10": effort.Steps10,
    "steps-33": effort.Steps33,
    "copy-global": public.CopyGlobal,
    "second-label": public.SecondLabel,
    "noisy-global": public.NoisyGlobal,
    "extrapolated-global": public.ExtrapolatedGlobal,
    "stale": public.Stale,
    "replay": public.Replay,
    "distilled-global": public.DistilledGlobal,
    "revealed-labels": public.RevealedLabels,
    "once-reuse": defect.OnceReuse,
    "once-distil": defect.OnceDistil,
    "once-revealed": defect.OnceRevealed,
    "once-copy": defect.OnceCopy,
    "poisoner": updates.Poisoner,
    "half-poisoner": updates.HalfPoisoner,
    "null-update": updates.NullUpdate,
    "copied-update": updates.CopiedUpdate,
    "replayed-update": updates.ReplayedUpdate,
    "extrapolated-update": updates.ExtrapolatedUpdate,
    "reshaped-update": updates.ReshapedUpdate,
    "distilled-update": updates.DistilledUpdate,
    "revealed-update": updates.RevealedUpdate,
    "short-update": updates.ShortUpdate,
    "disguised-update": updates.Disguised,
    "two-identities": coalitions.TwoIdentities,
    "shared-random": coalitions.SharedRandom,
    "exact-copies": coalitions.ExactCopies,
    "noisy-copies-10": coalitions.NoisyCopies10,
    "noisy-copies-30": coalitions.NoisyCopies30,
    "second-choices": coalitions.SecondChoices,
    "tuned-copies": coalitions.TunedCopies,
    "resampled-data": coalitions.ResampledData,
    "same-data": coalitions.SameData,
}

__all__ = ["ATTACKERS", "Attacker", "Coalition", "attacker", "playing"]


def attacker(name: str) -> Behaviour | Coalition:
    """The attacker called ``name`` (or ``module:Class``); BadInput if there is none."""
    return playing(name, ATTACKERS, "attacker")


def playing(name: str, registry: Mapping[str, type], what: str) -> Behaviour | Coalition:
    """What is called ``name``, in the registry or by import path; BadInput if nothing is, or it plays nothing."""
    kind = resolve(name, registry, what)
    if not (isinstance(kind, type) and (issubclass(kind, Coalition) or hasattr(kind, "infer"))):
        raise BadInput(
            f"{name} is no {what}", "Name a class with train and infer, or one derived from Coalition"
        )
    return cast("Behaviour | Coalition", make(name, registry, what))
