"""The stage in one process: the embedded ledger, a directory store, a development beacon on fast time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from chaincode import contracts
from chaincode.beacon import DevSigner
from chaincode.contracts.settings import EndorserClock, Settings
from chaincode.records import Consortium, Registration
from fl_client.beacon import DevBeacon, FastClock
from fl_client.demo.scenario import Pace, Scenario
from fl_client.demo.stage import Player, Stage
from fl_client.ledger.base import Ledger
from fl_client.ledger.embedded import EmbeddedIdentities, EmbeddedIdentity, EmbeddedLedger, EmbeddedNetwork
from fl_client.participant import take_part
from fl_client.store.directory import DirectoryStore

ORGANISATIONS = ["Org1MSP", "Org2MSP", "Org3MSP"]
SPEED = 40.0  # the beacon's seconds in one of this machine's
FRESHNESS, MARGIN = 30, 5  # beacon seconds: a client may be kept from the processor for a while


class EmbeddedStage(Stage):
    """Everything in this process. The beacon is marked for development: who runs it knows every draw."""

    def __init__(self, scenario: Scenario) -> None:
        began = time.monotonic()
        self.clock = FastClock(SPEED)
        signer = DevSigner(str(scenario.seed).encode(), 1, int(self.clock.now()) - 10)
        self.terms = Consortium(
            organisations=ORGANISATIONS,
            beacon=signer.info,
            freshness=FRESHNESS,
            margin=MARGIN,
            registration=Registration(),
        )
        self.pace = Pace(gap=2 * FRESHNESS + MARGIN + 1, window=1200)
        self.beacons = DevBeacon(signer, self.clock)
        self._identities = EmbeddedIdentities()
        self._clients = [self._enrol(place) for place in range(scenario.clients)]
        self.players = [
            Player(each.name, each.msp_id, each.member_id.partition(":")[2]) for each in self._clients
        ]
        self._network = EmbeddedNetwork({msp_id: self._server(msp_id) for msp_id in ORGANISATIONS})
        self._admins = {
            msp_id: EmbeddedLedger(self._network, self._identities.issue(msp_id, f"Admin@{msp_id}", "admin"))
            for msp_id in ORGANISATIONS
        }
        self._tasks: list[asyncio.Task[str]] = []
        self._stack = AsyncExitStack()
        self.versions = {"ledger": "embedded", "beacon": "development signer (trust=dev)"}
        self.seconds = {"embedded network": time.monotonic() - began}

    async def __aenter__(self) -> Self:
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="candor-")))
        self.store = DirectoryStore(self._directory / "blocks")
        await self._stack.enter_async_context(self._network)
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def admin(self, msp_id: str) -> Ledger:
        return self._admins[msp_id]

    async def start_clients(self, scenario: Scenario) -> None:
        # a thread for each: who waits for its coalition must not keep the one it waits for from working
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * len(self._clients)))
        for place, identity in enumerate(self._clients):
            run = take_part(
                EmbeddedLedger(self._network, identity),
                self.store,
                self.beacons,
                self._directory / f"journal-{place}",
                scenario.job,
                scenario.share(place, self._directory / "coalitions"),
                look=0.1,
                stagger=0.5,
            )
            self._tasks.append(asyncio.create_task(run, name=identity.name))

    def check_clients(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (fault := task.exception()):
                raise fault

    async def clients_done(self) -> None:
        await asyncio.gather(*self._tasks)

    def _enrol(self, place: int) -> EmbeddedIdentity:
        msp_id = ORGANISATIONS[place % len(ORGANISATIONS)]
        number = place // len(ORGANISATIONS) + 1
        return self._identities.issue(msp_id, f"User{number}@{msp_id.removesuffix('MSP').lower()}.test")

    def _server(self, msp_id: str) -> contracts.Consortium:
        terms = self.terms
        settings = Settings(
            msp_id=msp_id,
            organisations=terms.organisations,
            beacon=terms.beacon,
            freshness=terms.freshness,
            margin=terms.margin,
            registration=terms.registration,
        )
        return contracts.serve(settings, EndorserClock(terms.beacon, wall=self.clock.now))
