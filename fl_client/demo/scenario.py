"""Who plays, for what money: the demo's numbers in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chaincode.mechanisms import MECHANISMS
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.records import JobSpec
from fl_client.demo import cast
from fl_client.errors import BadInput
from fl_client.participant import Share

ALPHABET = 10  # digits
DECIMALS = 2
PUBLIC_ITEMS, TASKS, SCORED = 700, 600, 500
MOST_CLIENTS = 30


Aggregation = Literal["single", "majority", "optimistic"]


@dataclass(frozen=True)
class Pace:
    """How long things last, in the beacon's time: what a network's founding terms allow."""

    gap: int
    window: int


@dataclass(frozen=True)
class Scenario:
    """One demonstration."""

    clients: int = 6
    rounds: int = 5
    seed: int = 1
    job: str = "digits"
    problem: str = "digits"
    price: int = 100_00  # 100 tokens for a perfect score
    bond: int = 10_00
    epochs: int = 20  # enough for a client's own data to show in its first report
    mechanism: str = "qualify-and-vest"
    cheats: Sequence[str] | None = None  # the last clients' behaviours; None: what `cast.cheats` says
    aggregation: Aggregation = "single"
    aggregators: Mapping[int, str] = field(default_factory=dict)  # place -> one that is not honest

    def __post_init__(self) -> None:
        """BadInput for a cast that cannot be played, before anything is started."""
        if not 4 <= self.clients <= MOST_CLIENTS:
            raise BadInput(f"{self.clients} clients are not between 4 and {MOST_CLIENTS}")
        if self.agrees and self.aggregation == "optimistic":
            raise BadInput(
                f"mechanism {self.mechanism} takes a committee of which all publish their views",
                "Leave --aggregation out, or take majority",
            )
        self.parts  # noqa: B018 (it is for the errors)

    @property
    def parts(self) -> list[cast.Part]:
        """What each client plays."""
        cheats = cast.cheats(self.mechanism, self.clients) if self.cheats is None else self.cheats
        return cast.parts(cheats, self.clients)

    def share(self, client: int, channel: Path | None = None) -> Share:
        """What the client with this place works on; `channel`: where coalitions meet."""
        part = self.parts[client]
        return Share(
            problem=self.problem,
            settings=self.settings,
            client=client,
            clients=self.clients,
            behaviour=part.behaviour,
            seed=self.seed,
            epochs=self.epochs,
            aggregator=self.aggregators.get(client, "honest"),
            coalition=list(part.coalition),
            channel=str(channel / part.behaviour) if channel and part.coalition else "",
        )

    @property
    def settings(self) -> dict[str, int]:
        """The problem's settings: every client splits the same data in the same way."""
        return {"seed": self.seed, "public_items": PUBLIC_ITEMS}

    @property
    def agrees(self) -> bool:
        """Whether a committee agrees on what each round's model answers, so that its copiers earn nothing."""
        mechanism = MECHANISMS[self.mechanism]
        return mechanism.local_only and not mechanism.vests

    @property
    def rule(self) -> str:
        """Correlated Agreement as in the paper; where models saw private data alone Dasgupta-Ghosh, or matched
        blocks where there is a public model."""
        if self.agrees:
            return "matched-blocks"
        return "dasgupta-ghosh" if MECHANISMS[self.mechanism].local_only else "correlated-agreement"

    @property
    def stake(self) -> int:
        """The least stake that covers the worst payment."""
        return worst_loss(RULES[self.rule], SCORED, ALPHABET, self.price)

    @property
    def funds(self) -> int:
        """What a client needs to take part: its lock comes back every round, less what it loses."""
        return (self.stake + self.bond) * 2

    def spec(
        self,
        pace: Pace,
        *,
        model: str,
        public_set: str,
        model_bytes: int,
        roster: list[str],
        public_view: str = "",
    ) -> JobSpec:
        """The job as it is created on chain; `public_view`: of the initial model, where views are agreed on."""
        most = best_gain(RULES[self.rule], SCORED, ALPHABET, self.price)
        return JobSpec(
            model=model,
            public_set=public_set,
            public_view=public_view,
            agree_view=self.agrees,
            model_bytes=model_bytes,
            public_items=PUBLIC_ITEMS,
            tasks=TASKS,
            scored_tasks=SCORED,
            alphabet=ALPHABET,
            rounds=self.rounds,
            mechanism=self.mechanism,
            rule=self.rule,
            peers=4 if self.mechanism == "paper" else 0,
            price=self.price,
            stake=self.stake,
            bond=self.bond,
            round_pool=self.clients * most,
            min_participants=min(4, self.clients),
            max_participants=self.clients,
            max_members_per_org=self.clients,
            allow_list=sorted(roster),
            gap=pace.gap,
            commit_seconds=pace.window * 2,
            reveal_seconds=pace.window,
            missing_seconds=pace.window,
            aggregate_seconds=pace.window,
            aggregation="optimistic" if self.aggregation == "optimistic" else "majority",
            committee=1 if self.aggregation == "single" and not self.agrees else 3,
            challenge_rounds=2 * pace.gap + 1 if self.aggregation == "optimistic" else 0,
        )
