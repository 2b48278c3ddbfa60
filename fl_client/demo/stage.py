"""What a demo needs of its surroundings, whether they are real or in process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from chaincode.records import Consortium
from fl_client.beacon import BeaconSource
from fl_client.demo.scenario import Pace, Scenario
from fl_client.ledger.base import Ledger
from fl_client.store.base import Store


@dataclass(frozen=True)
class Player:
    """A client of the demo: an identity that its organisation has enrolled."""

    name: str
    msp_id: str
    key: str  # SHA-256 of its public key

    @property
    def member(self) -> str:
        """The member id it will get."""
        return f"{self.msp_id}:{self.key}"


class Stage(ABC):
    """A running network, seen by the one who demonstrates it. Use as an async context manager."""

    terms: Consortium  # what the chaincode servers are configured with
    pace: Pace
    players: Sequence[Player]
    store: Store
    beacons: BeaconSource
    seconds: dict[str, float]  # how long its parts took to come up
    versions: dict[str, str]

    @abstractmethod
    def admin(self, msp_id: str) -> Ledger:
        """The ledger as that organisation's admin."""

    @abstractmethod
    async def start_clients(self, scenario: Scenario) -> None:
        """Start every client: each registers itself and waits for the job."""

    @abstractmethod
    def check_clients(self) -> None:
        """Raise if a client has ended by fault, naming it and where its log is."""

    @abstractmethod
    async def clients_done(self) -> None:
        """Wait until every client has finished the job."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *error: object) -> None: ...
