"""What an attacker tries with time, and with a peer that lies, on a real network whose servers' clock the test moves.

Peers, orderers and chaincode servers are real; the beacon is a development signer's, so that the beacons of the
future can be had, and an hour without any passes in a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from consortium import UPDATE, Parties
from shifted import LIAR, SIGNER, Shift

from chaincode.beacon import Beacon
from chaincode.records import Phase
from fl_client import steps
from fl_client.beacon import DevBeacon, SystemClock
from fl_client.errors import BadBeacon, Disagreement, Refused
from fl_client.journal import Journal, Prepared
from fl_client.ledger.fabric import FabricLedger, blocks
from fl_client.store.directory import DirectoryStore
from network.network import Network
from network.topology import Chaincode, Orderers, Topology
from network.topology import load as load_topology

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]
FRESHNESS = 30  # F, seconds: a transaction must reach its endorsers within it on a machine that is busy
HOUR = 3600


class Shifted(DevBeacon):
    """The signer's beacons on the servers' clock; none is newer than `last` while it stalls."""

    def __init__(self, shift: Shift) -> None:
        super().__init__(SIGNER, SystemClock())
        self.shift, self.last = shift, 0

    async def latest(self) -> Beacon:
        return SIGNER.sign(self.last or self.info.round_at(int(self.shift.now())))

    async def at(self, round: int) -> Beacon:
        return SIGNER.sign(round)

    def stall(self) -> None:
        self.last = self.info.round_at(int(self.shift.now()))


class Party(Parties):
    """As on other networks, with those beacons."""

    def open_beacons(self) -> Shifted:
        self.shift = Shift(Path(self.network.topology.chaincode.settings["shift"]))
        self.shifted = Shifted(self.shift)
        return self.shifted

    async def pass_by(self, until: int) -> None:
        """Let time pass until a little after that second."""
        self.shift.pass_by(max(0, until + SIGNER.info.period - self.shift.now()))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    shift = tmp_path_factory.mktemp("shift")
    settings = {
        "freshness": FRESHNESS,
        "margin": 1,
        "registration": {"pre_known": True, "deposit": 0},
        "shift": str(shift),
    }
    topology = Topology(
        name="shifted",
        organisations=load_topology("three-orgs").organisations,
        orderers=Orderers(count=1, batch_timeout="100ms"),
        chaincode=Chaincode(factory="shifted:create", settings=settings),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        started = Network.up(topology, tmp_path_factory.mktemp("network"))
        try:
            yield started
        finally:
            started.down()


async def begun(all: Party, job: str) -> tuple[list[FabricLedger], dict[str, Any], Any]:
    """A job of three members, its first round open."""
    await all.found()
    members = [await all.member(f"Org{i}MSP", 0, 10_000) for i in (1, 2, 3)]
    gap = (2 * FRESHNESS + 1) // SIGNER.info.period + 1
    windows = ("commit_seconds", "reveal_seconds", "missing_seconds", "aggregate_seconds")
    spec = await all.create(
        job, members, gap=gap, min_participants=2, **dict.fromkeys(windows, 2 * gap * SIGNER.info.period + 60)
    )
    return members, {who.member_id: all.work(spec) for who in members}, spec


async def commit(all: Party, who: FabricLedger, works: dict[str, Any], job: str, spec: Any) -> None:
    await all.commit(who, all.digest(who, works[who.member_id], job), job, spec)


async def refused(code: int, call: Any) -> None:
    with pytest.raises(Refused) as caught:
        await call
    assert caught.value.code == code, caught.value


async def hoard(who: FabricLedger, transaction: str, *args: Any) -> tuple[str, Any]:
    """A transaction, endorsed by a majority and kept back: its id and its envelope."""
    proposal = who._propose(transaction, args)
    return proposal.tx_id, proposal.envelope(await who._endorsers.most(proposal, transaction))


def test_a_beacon_of_the_past_or_the_future_opens_and_closes_nothing(network: Network) -> None:
    async def story() -> None:
        async with Party(network) as all:
            members, works, spec = await begun(all, "beacons")
            await commit(all, members[0], works, "beacons", spec)
            now = (await all.fresh()).round
            far = FRESHNESS // SIGNER.info.period + 10
            past_the_deadline = SIGNER.info.round_at((await all.state("beacons")).deadline) + 1
            for code, round in ((409, now - far), (425, now + far), (425, past_the_deadline)):
                await refused(code, all.admin.submit("Rounds:close", "beacons", 1, SIGNER.sign(round)))
            assert (await all.state("beacons")).phase is Phase.COMMIT
            early = SIGNER.sign(past_the_deadline)
            await refused(425, all.admin.submit("Governance:propose", "p", mint(), early))

    asyncio.run(story())


def mint() -> dict[str, Any]:
    return {"action": "mint", "account": "Org1MSP", "amount": 1}


def test_a_close_that_was_kept_back_is_dead_once_somebody_has_closed(network: Network) -> None:
    async def story() -> None:
        async with Party(network) as all:
            members, works, spec = await begun(all, "hoarded")
            for who in members[:2]:
                await commit(all, who, works, "hoarded", spec)
            await all.pass_by((await all.state("hoarded")).deadline)
            hoarder = all.admins["Org2MSP"]
            kept = await hoard(hoarder, "Rounds:close", "hoarded", 1, await all.fresh())
            all.shift.pass_by(2 * SIGNER.info.period)
            await all.admin.submit("Rounds:close", "hoarded", 1, await all.fresh())
            closed = await all.state("hoarded")
            outcome = await hoarder._commit(*kept)  # now that the pairing beacon could be known
            assert outcome.code in blocks.READ_CONFLICTS
            assert await all.state("hoarded") == closed
            alone = await hoard(hoarder, "Rounds:pair", "hoarded", 1, *await pairing(all, "hoarded"))
            all.shift.pass_by(HOUR)
            assert (await hoarder._commit(*alone)).code == blocks.VALID
            late = await all.state("hoarded")
            assert (late.phase, late.pairing_round) == (Phase.REVEAL, closed.pairing_round)

    asyncio.run(story())


async def pairing(all: Party, job: str) -> tuple[Beacon, Beacon]:
    """What a pairing brings, once its beacon is there."""
    round = (await all.state(job)).pairing_round
    await all.pass_by(SIGNER.info.time(round))
    return SIGNER.sign(round), await all.fresh()


def test_an_hour_without_beacons_and_then_all_at_once_delays_and_slashes_nobody(network: Network) -> None:
    async def story() -> None:
        async with Party(network) as all:
            members, works, spec = await begun(all, "hour")
            for who in members:
                await commit(all, who, works, "hour", spec)
            await all.admin.submit("Rounds:close", "hour", 1, await all.fresh())
            state = await all.state("hour")
            await an_hour(all, "Rounds:pair", "hour", 1, SIGNER.sign(state.pairing_round))
            fresh = await all.fresh()
            await all.admin.submit("Rounds:pair", "hour", 1, SIGNER.sign(state.pairing_round), fresh)
            state = await all.state("hour")
            assert state.deadline == SIGNER.info.time(fresh.round) + spec.reveal_seconds
            await all.reveal(members[0], works[members[0].member_id], "hour")
            await an_hour(
                all, "Rounds:seal", "hour", 1
            )  # the window is over by every clock, and nobody can say so
            for who in members[1:]:
                await all.reveal(who, works[who.member_id], "hour")
            await all.admin.submit("Rounds:seal", "hour", 1, await all.fresh())
            sampling = SIGNER.sign((await all.state("hour")).sampling_round)
            reports = {f"report/{member}": work.data for member, work in works.items()}
            await all.admin.submit("Settlement:settle", "hour", 1, sampling, transient=reports)
            outcomes = await all.view.outcomes("hour", 1)
            assert not any(each.slashed for each in outcomes.values())
            holdings = await all.view.holdings()
            assert holdings.minted == holdings.held

    asyncio.run(story())


async def an_hour(all: Party, *call: Any) -> None:
    """Passes without a beacon: what needs a fresh one is refused. Then all of them are there at once."""
    all.shifted.stall()
    all.shift.pass_by(HOUR)
    await refused(409, all.admin.submit(*call, await all.fresh()))
    all.shifted.last = 0


def test_a_lying_peer_elicits_no_reveal(network: Network, tmp_path: Path) -> None:
    async def story() -> None:
        async with Party(network) as all:
            members, works, spec = await begun(all, "lied")
            for who in members:
                await commit(all, who, works, "lied", spec)
            seat = await deceived(all, members[2], works, tmp_path)
            await all.admin.submit("Rounds:close", "lied", 1, await all.fresh())
            state = await all.state("lied")
            for round in (state.pairing_round, state.pairing_round - 1):
                lie = paired(state, round)
                all.shift.tell(msgspec.json.encode(lie))
                told = await seat.view.round("lied", 1)
                assert told == lie, "its own organisation's peer lies to it"
                with pytest.raises((Disagreement, BadBeacon)):
                    await steps.reveal(seat, lie)
            all.shift.tell(b"")
            assert await all.view.reveals("lied", 1) == {}
            assert not [each for each in (tmp_path / "store").rglob("*") if each.is_file()]
            pairing = SIGNER.sign(state.pairing_round)
            await all.admin.submit("Rounds:pair", "lied", 1, pairing, await all.fresh())
            await steps.reveal(seat, await all.state("lied"))
            assert list(await all.view.reveals("lied", 1)) == [members[2].member_id]

    asyncio.run(story())


def paired(state: Any, round: int) -> Any:
    """The round's state as a liar tells it."""
    randomness = SIGNER.sign(round).randomness.hex()
    return msgspec.structs.replace(
        state, phase=Phase.REVEAL, pairing_round=round, pairing_randomness=randomness
    )


async def deceived(all: Party, who: FabricLedger, works: dict[str, Any], place: Path) -> steps.Seat:
    """A client of the liar's organisation, ready to reveal."""
    assert who.msp_id == LIAR
    work, journal = works[who.member_id], Journal(place / "journal")
    journal.keep("lied", 1, Prepared(work.data, b"update", work.report, UPDATE, work.salt))
    (place / "store").mkdir()
    job: Any = await all.view.job("lied")
    nobody: Any = None  # a reveal asks nothing of the learner
    return steps.Seat(who, DirectoryStore(place / "store"), all.beacons, journal, nobody, job)
