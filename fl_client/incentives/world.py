"""One simulated job: its data, its batches, its federation, and what a client has in hand in each round.

In process, without a ledger. Simplifications, all of them said in docs/incentives.md: batches are drawn from the
world's seed, not from a beacon; all tasks of a batch are scored; updates are aggregated if the light check passes,
by equal weights, and everybody's update is honest unless the attacker says otherwise.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from chaincode import lightcheck
from chaincode.mtpp import View
from fl_client.incentives.perceptron import Perceptron
from fl_client.incentives.synthetic import FEATURES, HIDDEN, Synthetic
from fl_client.named import make, resolve
from fl_client.strategies.fedavg import FedAvg
from fl_client.training import backend, behaviour
from fl_client.training.behaviour import Behaviour, Honest, Learns, Past, Work
from fl_client.training.digits import Digits
from fl_client.training.parameters import subtract
from fl_client.training.problem import Problem
from fl_client.training.views import view_of

Weights = Sequence[np.ndarray]

# name → (class, its settings, the shape of its perceptron)
PROBLEMS: dict[str, tuple[type, dict[str, Any], tuple[int, int, int]]] = {
    "digits": (Digits, {"public_items": 700}, (64, 32, 10)),
    "synthetic-10": (Synthetic, {"labels": 10}, (FEATURES, HIDDEN, 10)),
    "synthetic-5": (Synthetic, {"labels": 5, "spread": 1.6}, (FEATURES, HIDDEN, 5)),
    "synthetic-2": (Synthetic, {"labels": 2, "spread": 2.0}, (FEATURES, HIDDEN, 2)),
}
SPLITS = {"iid": ("iid", 0.5), "1": ("dirichlet", 1.0), ".5": ("dirichlet", 0.5), ".1": ("dirichlet", 0.1)}


class Setting(msgspec.Struct, frozen=True):
    """All that decides a world."""

    problem: str = "digits"
    split: str = "iid"
    clients: int = 6
    tasks: int = 500  # T: all of them are scored
    rounds: int = 10
    seed: int = 0
    trainer: str = "numpy"
    epochs: int = 5  # of a round's tuning
    effort: int = 800  # mini-batches of a local-only model


@dataclass(frozen=True)
class Federation:
    """The public side of a job: the global model before each round and after the last, and who was in each
    round's valid set."""

    models: list[list[np.ndarray]]
    valid: list[frozenset[int]]


class World:
    """A setting come to life. Equal trainings happen once."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        kind, alpha = SPLITS[setting.split]
        self.problem = build(setting.problem, seed=setting.seed, kind=kind, alpha=alpha)
        self.alphabet = self.problem.alphabet
        self.trainer = Remembering(_trainer(setting, self.problem))
        self.data = [self.problem.private(client, setting.clients) for client in range(setting.clients)]
        self.public = self.problem.public()
        rng = np.random.default_rng([setting.seed, 4])
        tasks = min(setting.tasks, len(self.public))
        self.items = [
            np.sort(rng.choice(len(self.public), tasks, replace=False)) for _ in range(setting.rounds)
        ]

    @functools.cached_property
    def honest(self) -> Federation:
        """The federation in which everybody is honest."""
        return self.federate({})

    def federate(self, cast: dict[int, Behaviour]) -> Federation:
        """Play all rounds' updates; clients in ``cast`` behave as told, the others honestly.

        What ``cast`` can see of reports are the first round's, local-only ones: a qualification's.
        """
        reports = [self._qualification] if cast else []
        models = [self.trainer.initial()]
        valid: list[frozenset[int]] = []
        before, earlier = dict[str, lightcheck.Sketch](), dict[str, lightcheck.Sketch]()
        for number in range(1, self.setting.rounds + 1):
            partial = Federation(models, valid)
            updates = {}
            for client in range(self.setting.clients):
                work = self.work(client, number, partial, local_only=False, reports=reports)
                updates[str(client)] = subtract(cast.get(client, Honest()).train(work), work.weights)
            sketches = {client: lightcheck.sketch(update) for client, update in updates.items()}
            verdicts = lightcheck.verdicts(sketches, before, earlier)
            passed = [member for member, reason in verdicts.items() if reason is None]
            kept = {member: updates[member] for member in passed}
            models.append(FedAvg().aggregate(models[-1], kept, dict.fromkeys(kept, 1)))
            valid.append(frozenset(map(int, passed)))
            before, earlier = sketches, before
        return Federation(models, valid)

    @functools.cached_property
    def _qualification(self) -> list[np.ndarray]:
        return self.reports(Federation([self.trainer.initial()], []), 1, local_only=True)[0]

    def work(
        self,
        client: int,
        number: int,
        public: Federation,
        *,
        local_only: bool,
        reports: Sequence[Sequence[np.ndarray]] = (),
    ) -> Work:
        """What ``client`` has in hand in round ``number`` (from 1); ``reports``: what earlier rounds revealed."""
        return replace(
            self.bare(client, number, public.models[number - 1]),
            local_only=local_only,
            past=[
                Past(
                    self.items[r],
                    self.public[self.items[r]],
                    public.models[r],
                    {str(c): report for c, report in enumerate(reports[r])} if r < len(reports) else {},
                    str(client),
                    self._seed(client, r + 1),
                )
                for r in range(number - 1)
            ],
        )

    def bare(self, client: int, number: int, model: Weights) -> Work:
        """The work of round ``number`` from ``model``, without any past."""
        items = self.items[number - 1]
        return Work(
            trainer=self.trainer,
            alphabet=self.alphabet,
            x=self.data[client][0],
            y=self.data[client][1],
            batch=self.public[items],
            weights=model,
            seed=self._seed(client, number),
            epochs=self.setting.epochs,
            effort=self.setting.effort,
            round=number,
            items=items,
        )

    def reports(self, public: Federation, rounds: int, *, local_only: bool) -> list[list[np.ndarray]]:
        """Everybody's honest report in rounds 1 to ``rounds``: [round − 1][client] (T,)."""
        honest = Honest()
        return [
            [
                honest.infer(work, [] if local_only else honest.train(work))
                for client in range(self.setting.clients)
                for work in [self.work(client, number, public, local_only=local_only)]
            ]
            for number in range(1, rounds + 1)
        ]

    def view(self, public: Federation, number: int) -> View:
        """What the global model of the round says about its batch, in integers."""
        items = self.public[self.items[number - 1]]
        return view_of(self.trainer.probabilities(public.models[number - 1], items))

    def local_accuracy(self) -> list[float]:
        """Each client's: of a model of its data alone, on held-out items."""
        x, y = self.problem.held_out()
        works = [self.work(c, 1, self.honest, local_only=True) for c in range(self.setting.clients)]
        return [self.trainer.accuracy(behaviour.local_model(work, work.x, work.y), x, y) for work in works]

    def _seed(self, client: int, number: int) -> int:
        return behaviour.seed(self.setting.seed, client, number)


@dataclass
class Remembering:
    """A trainer that does the same training once; everything else goes through."""

    trainer: Learns
    trainings: int = 0  # done, in mini-batch runs of any length
    _known: dict[bytes, list[np.ndarray]] = field(default_factory=dict)

    def initial(self) -> list[np.ndarray]:
        """See Trainer."""
        return self.trainer.initial()

    def fresh(self, seed: int) -> list[np.ndarray]:
        """See Trainer."""
        return self.trainer.fresh(seed)

    def train(
        self,
        global_weights: Weights,
        x: np.ndarray,
        y: np.ndarray,
        *,
        epochs: int = 5,
        batch: int = 32,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """See Trainer."""
        digest = hashlib.blake2b(repr((epochs, batch, seed, x.shape)).encode())
        for array in (*global_weights, x, y):
            digest.update(np.ascontiguousarray(array).tobytes())
        key = digest.digest()
        if key not in self._known:
            self.trainings += 1
            self._known[key] = self.trainer.train(global_weights, x, y, epochs=epochs, batch=batch, seed=seed)
        return [weight.copy() for weight in self._known[key]]

    def probabilities(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        """See Trainer."""
        return self.trainer.probabilities(weights, x)

    def predict(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        """See Trainer."""
        return self.trainer.predict(weights, x)

    def accuracy(self, weights: Weights, x: np.ndarray, y: np.ndarray) -> float:
        """See Trainer."""
        return self.trainer.accuracy(weights, x, y)


def build(name: str, **settings: object) -> Problem:
    """The problem called ``name``, bundled or by import path; BadInput if there is none.

    One of somebody's own gets those of the ``settings`` that it takes, see ``takes``.
    """
    if name in PROBLEMS:
        kind, own, _ = PROBLEMS[name]
        made: Problem = kind(**own, **settings)
        return made
    backend.prepare()
    taken = takes(name)
    found: Problem = make(
        name, PROBLEMS, "problem", **{key: settings[key] for key in settings if key in taken}
    )
    return found


def takes(name: str) -> frozenset[str]:
    """Which of a world's settings the problem is made with: its ``seed``, and the split's ``kind`` and ``alpha``."""
    every = frozenset(("seed", "kind", "alpha"))
    if name in PROBLEMS:
        return every
    try:
        parameters = inspect.signature(resolve(name, PROBLEMS, "problem")).parameters
    except (TypeError, ValueError):  # nothing that can be called, or that says how: `make` will tell
        return every
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return every
    return every & set(parameters)


def _trainer(setting: Setting, problem: Problem) -> Learns:
    if setting.trainer == "numpy":
        return Perceptron(*PROBLEMS[setting.problem][2], setting.seed)
    from fl_client.training.trainer import Trainer

    return Trainer(problem, setting.seed)
