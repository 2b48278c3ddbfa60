"""Leave-one-out and Shapley values of the game "accuracy of the model these clients train together".

Source: Ghorbani & Zou 2019 (data Shapley), Jia et al. 2019 (federated and Monte-Carlo estimates). Every value
of the game is a federation trained from scratch and measured on held-out, truly labelled items.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np

from fl_client.incentives.measures.base import Measured, Reports
from fl_client.incentives.world import World
from fl_client.strategies.fedavg import FedAvg
from fl_client.training.behaviour import tuned
from fl_client.training.parameters import subtract

ROUNDS = 5  # of a coalition's federation, at most
PERMUTATIONS = 8

Coalition = frozenset[int]


class Game:
    """Coalition → accuracy; remembers what it has trained."""

    def __init__(self, clients: int, value: Callable[[Coalition], float]) -> None:
        self.clients = clients
        self._value, self._known = value, dict[Coalition, float]()

    @property
    def federations(self) -> int:
        """How many coalitions have been trained."""
        return sum(bool(coalition) for coalition in self._known)

    def __call__(self, coalition: Coalition) -> float:
        """The coalition's value, trained at most once."""
        if coalition not in self._known:
            self._known[coalition] = self._value(coalition)
        return self._known[coalition]


def of_world(world: World) -> Game:
    """The world's game; without anybody the untrained model's accuracy."""
    return Game(world.setting.clients, lambda coalition: _accuracy(world, coalition))


def leave_one_out(world: World, reports: Reports) -> Measured:
    """v(all) − v(all but i)."""
    game = of_world(world)
    everyone = frozenset(range(game.clients))
    values = [game(everyone) - game(everyone - {client}) for client in sorted(everyone)]
    return Measured(values, game.federations)


def exact_shapley(world: World, reports: Reports) -> Measured:
    """Over all 2^n coalitions."""
    game = of_world(world)
    return Measured(shapley(game), game.federations)


def monte_carlo_shapley(world: World, reports: Reports) -> Measured:
    """The mean marginal gain over `PERMUTATIONS` random orders."""
    game = of_world(world)
    rng = np.random.default_rng([world.setting.seed, 5])
    return Measured(sampled_shapley(game, PERMUTATIONS, rng), game.federations)


def shapley(game: Game) -> list[float]:
    """Σ_S |S|!(n − 1 − |S|)!/n! · (v(S ∪ i) − v(S)) over all S without i."""
    n = game.clients
    values = []
    for client in range(n):
        others = [other for other in range(n) if other != client]
        total = 0.0
        for size in range(n):
            for chosen in map(frozenset, combinations(others, size)):
                total += (game(chosen | {client}) - game(chosen)) / (n * comb(n - 1, size))
        values.append(total)
    return values


def sampled_shapley(game: Game, permutations: int, rng: np.random.Generator) -> list[float]:
    """The mean of v(before ∪ i) − v(before) over random orders."""
    totals = np.zeros(game.clients)
    for _ in range(permutations):
        before: Coalition = frozenset()
        for client in rng.permutation(game.clients).tolist():
            totals[client] += game(before | {client}) - game(before)
            before |= {client}
    return [float(total) / permutations for total in totals]


def _accuracy(world: World, coalition: Coalition) -> float:
    model = world.trainer.initial()
    for number in range(1, min(ROUNDS, world.setting.rounds) + 1 if coalition else 0):
        updates = {}
        for client in sorted(coalition):
            work = world.bare(client, number, model)
            updates[str(client)] = subtract(tuned(work, work.x, work.y), model)
        model = FedAvg().aggregate(model, updates, dict.fromkeys(updates, 1))
    return world.trainer.accuracy(model, *world.problem.held_out())
