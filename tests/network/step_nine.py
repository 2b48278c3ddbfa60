"""The cast of step 9 on a real network: jobs, their faults, and clients that are real agents on Fabric, IPFS, drand.

What clients would have trained is drawn.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from chaincode import cid, report
from chaincode.records import TREASURY, Job, RoundState
from fl_client import aggregator, steps
from fl_client.agent import Agent
from fl_client.beacon import open_beacon
from fl_client.committee import Aggregator
from fl_client.connection import read_connection
from fl_client.contracts import View
from fl_client.demo.native import NativeStage
from fl_client.demo.scenario import ALPHABET
from fl_client.demo.story import Play
from fl_client.journal import Journal, Prepared
from fl_client.ledger import Ledger, open_ledger
from fl_client.steps import Seat
from fl_client.store import Store, open_store
from fl_client.store.ipfs import IpfsStore
from fl_client.training import parameters
from tests import aggregation_faults as faults

SHAPES = [(20, 10), (10,)]
WINDOW = 20  # seconds
MODEL = parameters.to_bytes([np.zeros(shape, np.float32) for shape in SHAPES])
NOBODY: Any = None  # no learner: there is nothing to train
WITHHOLDER = 3  # the place of a client of the first organisation
BAD = {1: "not-finite", 2: "norm", WITHHOLDER: "missing"}
UNFIT = {1: "malformed", 2: "wrong-shape", 4: "oversized"}


class Wrapped(Store):
    """A client's store, but for one content: its own update."""

    def __init__(self, store: Store, hidden: bytes) -> None:
        self._store, self._hidden = store, hidden

    async def put(self, data: bytes) -> str:
        return await (self._hide() if data == self._hidden else self._store.put(data))

    async def get(self, cid: str, *, limit: int) -> bytes:
        return await self._store.get(cid, limit=limit)

    async def pin(self, cid: str) -> None:
        await self._store.pin(cid)

    async def keep(self, data: bytes) -> str:
        return await (self._hide() if data == self._hidden else self._store.keep(data))

    async def bring(self, cid: str, *, limit: int) -> None:
        await self._store.bring(cid, limit=limit)

    async def _hide(self) -> str:
        """Withhold it: pass it off as stored."""
        return ""


class AtHome(Wrapped):
    """Serves it to the clients of the own organisation alone, which share `home`."""

    def __init__(self, store: Store, hidden: bytes, home: dict[str, bytes]) -> None:
        super().__init__(store, hidden)
        self._home = home

    async def _hide(self) -> str:
        name = cid.file_cid(self._hidden)
        self._home[name] = self._hidden
        return name

    async def get(self, cid: str, *, limit: int) -> bytes:
        return self._home[cid] if cid in self._home else await super().get(cid, limit=limit)

    async def pin(self, cid: str) -> None:
        if cid not in self._home:
            await super().pin(cid)


class Strayed(Wrapped):
    """Serves it from a node of its own, connected to one other organisation's node alone."""

    def __init__(self, store: Store, hidden: bytes, socket: str) -> None:
        super().__init__(store, hidden)
        self._socket = socket

    async def _hide(self) -> str:
        async with IpfsStore(Path(self._socket), "", Path()) as node:
            return await node.keep(self._hidden)


def update(job: str, place: int, bad: str | None) -> bytes:
    """A client's update, drawn from the job and its place; `bad`: what is wrong with it."""
    rng = np.random.default_rng([*job.encode(), place])
    scale, shapes = 100 if bad == "norm" else 1, SHAPES[::-1] if bad == "wrong-shape" else SHAPES
    data = parameters.to_bytes([(scale * rng.standard_normal(shape)).astype(np.float32) for shape in shapes])
    match bad:
        case "not-finite":
            return data[:-4] + np.float32(np.nan).tobytes()
        case "malformed":
            return data[:-4]
        case "oversized":
            return data + bytes(4)
    return data


@dataclass
class Story:
    """One job: its terms, and what goes wrong in the first attempt."""

    terms: dict[str, Any]
    fault: type[Aggregator] = Aggregator
    places: tuple[int, ...] = ()
    whole: bool = False  # not those places alone, but all of their organisations
    bad: Mapping[int, str] = field(default_factory=dict)  # whose update is not valid: place -> why
    processes: bool = False  # each client is one; who is drawn second is replaced by one with that fault
    served: str = ""  # to whom the withholder's update is: nobody, home, one other organisation, "" all
    state: RoundState | None = None
    gains: dict[str, int] = field(default_factory=dict)
    right: bool = False
    withholder: str = ""
    reasons: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Cast:
    """The network's clients, each with its own ledger and store."""

    stage: NativeStage
    play: Play
    directory: Path
    stray: str = ""  # the socket of a node that is connected to the second organisation's alone
    ledgers: list[Ledger] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    beacons: Any = None
    view: Any = None

    async def enter(self, stack: AsyncExitStack) -> None:
        for connection, files in self.stage._clients:
            self.ledgers.append(await stack.enter_async_context(open_ledger(connection, files)))
            self.stores.append(await stack.enter_async_context(open_store(connection)))
        first = next(iter(self.stage.network.connection_files.values()))
        self.beacons = await stack.enter_async_context(open_beacon(read_connection(first)))
        self.view = View(self.stage.admin(self.play.sponsor))

    async def found(self, jobs: int) -> None:
        """A consortium whose members can take part in all jobs at once."""
        await self.play.found()
        await self.play.mint()
        await self.play.admit()
        await asyncio.gather(*(steps.register(ledger) for ledger in self.ledgers))
        admin, sponsor = self.stage.admin(self.play.sponsor), self.play.sponsor
        for player in self.stage.players:
            for _ in range(jobs):
                credits = await self.view.credits(sponsor, self.play.scenario.funds)
                await admin.submit(
                    "Token:transfer", sponsor, player.member, self.play.scenario.funds, credits, "stake"
                )

    async def create(self, name: str, story: Story) -> None:
        pace = self.stage.pace
        spec = self.play.scenario.spec(
            pace,
            model=await self.stage.store.put(MODEL),
            public_set=await self.stage.store.put(b"public"),
            model_bytes=2 * len(MODEL),
            roster=[player.member for player in self.stage.players],
        )
        optimistic = story.terms["aggregation"] == "optimistic"
        terms = {
            "rounds": 1,
            "aggregate_seconds": WINDOW,
            "challenge_rounds": WINDOW if optimistic else 0,
            **story.terms,
        }
        spec = msgspec.structs.replace(spec, **terms)
        sponsor = self.play.sponsor
        credits = await self.view.credits(sponsor, spec.pool)
        await self.stage.admin(sponsor).submit("Jobs:create", name, spec, sponsor, credits)

    async def standing(self, jobs: Iterable[str]) -> str:
        """Where each job's round is: what to look at when one does not end."""
        return "\n".join([f"{name}: {await self.view.round(name, 1)}" for name in jobs])

    async def run(self, name: str, story: Story) -> None:
        job, home = await self.view.job(name), dict[str, bytes]()
        places = range(len(self.ledgers))
        if story.processes:
            await asyncio.gather(*(self._supervise(name, job, story, place) for place in places))
        else:
            agents = [self._agent(name, job, story, place, home) for place in places]
            await asyncio.gather(*(agent.run() for agent in agents))
        await self._look_back(name, story)

    def _agent(self, name: str, job: Job, story: Story, place: int, home: dict[str, bytes]) -> Agent:
        own, journal = self._prepared(name, job, story, place)
        store = self._store(story, place, own, home)
        seat = Seat(self.ledgers[place], store, self.beacons, journal, NOBODY, job)
        aggregator = faults.Turncoat(seat, story.fault, story.places, whole=story.whole)
        return Agent(seat, aggregator, stagger=0.5)

    def _prepared(self, name: str, job: Job, story: Story, place: int) -> tuple[bytes, Journal]:
        """Its update, and its journal with its work in it, as after a crash, so that there is nothing to train."""
        own = update(name, place, story.bad.get(place))
        symbols = np.random.default_rng(place).integers(0, ALPHABET, job.spec.tasks)
        packed, journal = report.pack(symbols, ALPHABET), Journal(self._journal(name, place))
        names = cid.raw_cid(packed), cid.file_cid(own)
        journal.keep(name, 1, Prepared(packed, own, *names, secrets.token_bytes(32)))
        return own, journal

    def _journal(self, name: str, place: int) -> Path:
        return self.directory / "journals" / f"{name}-{place}"

    async def _supervise(self, name: str, job: Job, story: Story, place: int) -> None:
        """Run a client's process to the end of the job; when it quits, put a faulty one in its place."""
        self._prepared(name, job, story, place)
        code = await self._process(name, place, faults.Quitting)
        if code == faults.QUIT:
            code = await self._process(name, place, story.fault)
        assert code == 0, f"client {place} of {name} ended with {code}"

    async def _process(self, name: str, place: int, conduct: type[Aggregator]) -> int:
        """Its exit code."""
        connection, files = self.stage._clients[place]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("agent_process.py")),
            str(self.stage.network.connection_files[connection.organisation]),
            files.name,
            str(self._journal(name, place)),
            name,
            f"{conduct.__module__}:{conduct.__name__}",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    def _store(self, story: Story, place: int, own: bytes, home: dict[str, bytes]) -> Store:
        """What a client stores into and reads from; the withholder's colleagues share what it serves at home."""
        store, orgs = self.stores[place], [ledger.msp_id for ledger in self.ledgers]
        if story.served == "home" and orgs[place] == orgs[WITHHOLDER]:
            return AtHome(store, own if place == WITHHOLDER else b"", home)
        if place != WITHHOLDER or not story.served:
            return store
        return Strayed(store, own, self.stray) if story.served == "one" else Wrapped(store, own)

    async def _look_back(self, name: str, story: Story) -> None:
        """The state, the money by the statements' memo, and the model recomputed from outside."""
        state = await self.view.round(name, 1)
        assert state is not None
        reveals = await self.view.reveals(name, 1)
        limit, story.withholder = 2 * len(MODEL), self.ledgers[WITHHOLDER].member_id
        updates = {m: await self.stage.store.get(reveals[m].update, limit=limit) for m in state.valid}
        result = await self.stage.store.get(state.result, limit=limit)
        story.right = result == aggregator.aggregate(MODEL, updates, story.terms.get("strategy", "fedavg"))
        progress = await self.view.progress(name, 1, state.attempt)
        story.reasons = [dict(ballot.refused) for ballot in progress.ballots.values()]
        bond = self.play.scenario.bond
        for account in [*(player.member for player in self.stage.players), TREASURY]:
            lines = [line for line in await self.view.statement(account) if line.memo == f"{name}/1"]
            kinds = ("bond-", "challenge")
            change = sum(line.amount for line in lines if line.kind.startswith(kinds))
            change -= bond if account != TREASURY else 0
            if change:
                story.gains[account] = change
        story.state = state
