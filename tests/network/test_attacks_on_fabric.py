"""What an attacker tries on a real network: the same attacks as tests/attacks, against real peers and beacons.

Org3's chaincode server has been modified to lie about settlements; the others are honest.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from consortium import UPDATE, Parties, Work, forged, revoke, until

from chaincode.beacon import Beacon, DevSigner
from chaincode.records import Phase
from fl_client.errors import CandorError, CommitRejected, Disagreement, ReadConflict, Refused, Unavailable
from fl_client.ledger.fabric import FabricLedger, sdk
from network.identities import Identities
from network.network import Network
from network.topology import Topology
from network.topology import load as load_topology

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]
REVOKED = 424242
ROOT = Path(__file__).parents[2]


def topology() -> Topology:
    base = load_topology("three-orgs")
    chaincode = msgspec.structs.replace(base.chaincode, factory="tests.network.liar:create")
    return msgspec.structs.replace(base, chaincode=chaincode, ipfs=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    patch = pytest.MonkeyPatch()
    create = Identities.create

    def with_revocations(self: Identities, cryptogen: str) -> None:
        create(self, cryptogen)
        place = self.organisation(topology().organisations[0])
        revoke(place / "ca", REVOKED, place / "msp")

    patch.setattr(Identities, "create", with_revocations)
    patch.syspath_prepend(str(ROOT))
    started = Network.up(topology(), tmp_path_factory.mktemp("attacked"))
    try:
        yield started
    finally:
        started.down()
        patch.undo()


async def refused(code: int | tuple[int, ...], call: Any) -> None:
    with pytest.raises(Refused) as caught:
        await call
    assert caught.value.code in ((code,) if isinstance(code, int) else code), caught.value


async def together(*calls: Any) -> list[Any]:
    """All at once; what each came to."""
    return await asyncio.gather(*calls, return_exceptions=True)


def once(results: list[Any]) -> None:
    """Exactly one of several equal calls took effect, and the others were told so."""
    faults = [each for each in results if isinstance(each, BaseException)]
    assert len(faults) == len(results) - 1, results
    assert all(isinstance(each, (ReadConflict, Refused)) for each in faults), faults


def bad_beacons(parties: Parties, good: Beacon) -> dict[str, Beacon]:
    """Beacons for the round of `good` that must not pass, each for another reason."""
    stranger = DevSigner(b"stranger", parties.info.period, parties.info.genesis_time)
    infinity = "c0" + "00" * 47
    return {
        "forged": Beacon(good.round, good.signature[:-1] + ("0" if good.signature[-1] != "0" else "1")),
        "of another chain": stranger.sign(good.round),
        "the point at infinity": Beacon(good.round, infinity),
        "the point at infinity with a sign": Beacon(good.round, "e0" + "00" * 47),
        "not canonical": Beacon(good.round, good.signature.upper()),
        "not compressed": Beacon(good.round, f"{int(good.signature, 16) & ~(1 << 383):096x}"),
        "not reduced": Beacon(good.round, f"{4 << 381 | (1 << 381) - 1:096x}"),
        "the point's negative": Beacon(good.round, f"{int(good.signature, 16) ^ 1 << 381:096x}"),
        "of another round": Beacon(good.round + 1, good.signature),
    }


def test_founding_by_a_stranger_and_governing_before_founding_are_refused(network: Network) -> None:
    async def story() -> None:
        async with Parties(network) as all:
            await refused(409, all.admin.submit("Governance:propose", "p", mint(), await all.fresh()))
            others = [["Org1MSP", "EvilMSP"], *all.terms()[1:]]
            await refused(403, all.admin.submit("Governance:init", *others))
            stranger = DevSigner(b"evil", 1, all.info.genesis_time).info
            await refused(
                403, all.admin.submit("Governance:init", all.terms()[0], stranger, *all.terms()[2:])
            )
            client = await all.client("Org2MSP", 0)
            await refused(403, client.submit("Governance:init", *all.terms()))
            await all.found()
            await refused(409, all.admin.submit("Governance:init", *all.terms()))

    asyncio.run(story())


def mint() -> dict[str, Any]:
    return {"action": "mint", "account": "Org1MSP", "amount": 1}


def test_a_round_attacked_at_every_step_ends_as_if_nobody_had_tried(network: Network) -> None:
    async def story() -> None:
        async with Parties(network) as all:
            await all.found()
            members = [await all.member(f"Org{i}MSP", 0, 10_000) for i in (1, 2, 3)]
            spec = await all.create("attacked", members)
            works = {who.member_id: all.work(spec) for who in members}
            await attacked_commits(all, members, works, spec)
            await attacked_pairing(all, members, works)
            await attacked_reveals(all, members, works)
            await attacked_settlement(all, members, works)
            holdings = await all.view.holdings()
            assert holdings.minted == holdings.held

    asyncio.run(story())


async def attacked_commits(
    all: Parties, members: list[FabricLedger], works: dict[str, Work], spec: Any
) -> None:
    first, second, third = members
    digests = {who.member_id: all.digest(who, works[who.member_id], "attacked") for who in members}
    await all.commit(first, digests[first.member_id], "attacked", spec)
    await refused(409, all.commit(first, digests[first.member_id], "attacked", spec))
    copied = digests[first.member_id]  # the second member copies the commit it has seen
    await all.commit(second, copied, "attacked", spec)
    await refused(425, all.reveal(first, works[first.member_id], "attacked"))
    await refused(425, all.admin.submit("Rounds:close", "attacked", 1, await all.fresh()))
    await all.commit(third, digests[third.member_id], "attacked", spec)
    newest = await all.fresh()
    stale = await all.beacons.at(max(1, newest.round - 10 * all.terms()[2]))
    await refused(409, all.admin.submit("Rounds:close", "attacked", 1, stale))
    for reason, beacon in bad_beacons(all, newest).items():
        await refused((400, 422, 425), all.admin.submit("Rounds:close", "attacked", 1, beacon)), reason
    beacon = await all.fresh()
    once(await together(*(a.submit("Rounds:close", "attacked", 1, beacon) for a in all.admins.values())))
    await refused(409, all.admin.submit("Rounds:close", "attacked", 1, await all.fresh()))


async def attacked_pairing(all: Parties, members: list[FabricLedger], works: dict[str, Work]) -> None:
    state = await all.state("attacked")
    early = await all.beacons.at(state.pairing_round - 1)
    await refused(422, all.admin.submit("Rounds:pair", "attacked", 1, early, await all.fresh()))
    await refused(425, all.reveal(members[0], works[members[0].member_id], "attacked"))
    pairing = await all.beacons.at(state.pairing_round)
    for beacon in bad_beacons(all, pairing).values():
        await refused(422, all.admin.submit("Rounds:pair", "attacked", 1, beacon, await all.fresh()))
    beacon = await all.fresh()
    once(
        await together(
            *(a.submit("Rounds:pair", "attacked", 1, pairing, beacon) for a in all.admins.values())
        )
    )
    await refused(409, all.admin.submit("Rounds:pair", "attacked", 1, pairing, await all.fresh()))


async def attacked_reveals(all: Parties, members: list[FabricLedger], works: dict[str, Work]) -> None:
    first, second, third = members
    stolen = works[first.member_id]
    await all.reveal(first, stolen, "attacked")
    await refused(422, all.reveal(second, stolen, "attacked"))  # bound to the first member
    await refused(409, all.reveal(first, stolen, "attacked"))
    mine = works[third.member_id]
    wrong = (
        ("Rounds:reveal", "attacked", 1, mine.report, UPDATE, "00" * 32),
        ("Rounds:reveal", "attacked", 1, stolen.report, UPDATE, mine.salt.hex()),
    )
    for call in wrong:
        await refused(422, third.submit(*call, transient={"report": mine.data}))
    right = ("Rounds:reveal", "attacked", 1, mine.report, UPDATE, mine.salt.hex())
    await refused(422, third.submit(*right, transient={"report": stolen.data}))
    await refused(400, third.submit(*right))
    await all.reveal(third, mine, "attacked")
    await refused(425, all.admin.submit("Rounds:seal", "attacked", 1, await all.fresh()))
    await passed(all, (await all.state("attacked")).deadline)
    beacon = await all.fresh()
    once(await together(*(a.submit("Rounds:seal", "attacked", 1, beacon) for a in all.admins.values())))
    await refused(409, all.admin.submit("Rounds:seal", "attacked", 1, await all.fresh()))


async def passed(all: Parties, deadline: int) -> None:
    """Wait until the beacon says that the deadline is past."""

    async def later() -> bool:
        return all.info.time((await all.fresh()).round) > deadline

    await until(later, 90, "the deadline")


async def attacked_settlement(all: Parties, members: list[FabricLedger], works: dict[str, Work]) -> None:
    first, second, third = members
    sampling = await all.beacons.at((await all.state("attacked")).sampling_round)
    counted = {
        f"report/{who.member_id}": works[who.member_id].data
        for who in members
        if who is not second  # the copier could not reveal
    }
    extra = {f"report/{second.member_id}": works[second.member_id].data}
    one, two = counted
    swapped = {one: counted[two], two: counted[one]}
    call = ("Settlement:settle", "attacked", 1, sampling)
    for code, transient in ((409, {one: counted[one]}), (400, counted | extra), (422, swapped)):
        await refused(code, all.admin.submit(*call, transient=transient))
    for beacon in bad_beacons(all, sampling).values():
        await refused(422, all.admin.submit("Settlement:settle", "attacked", 1, beacon, transient=counted))
    await refused_by_disagreement(all, call, counted)
    once(await together(*(a.submit(*call, transient=counted) for a in all.admins.values())))
    await refused(409, all.admin.submit(*call, transient=counted))
    outcomes = await all.view.outcomes("attacked", 1)
    assert outcomes[second.member_id].slashed > 0, "who copies a commit cannot reveal and is slashed"
    assert all_small(outcomes), "the liar's payment is not on the ledger"
    assert (await all.state("attacked")).phase is Phase.SETTLED


def all_small(outcomes: Any) -> bool:
    return all(abs(each.payment) <= 1000 for each in outcomes.values())


async def refused_by_disagreement(all: Parties, call: Any, transient: dict[str, bytes]) -> None:
    """Where one of two endorsers lies, nothing goes through; nor does what the liar alone has endorsed."""
    async with sees(all, "Org1MSP", "Org3MSP") as ledger:
        with pytest.raises(Disagreement):
            await ledger.submit(*call, transient=transient)
    async with sees(all, "Org3MSP") as ledger:  # a client that asks nobody else
        with pytest.raises(CommitRejected, match="ENDORSEMENT_POLICY_FAILURE"):
            await ledger.submit(*call, transient=transient)
    assert (await all.state("attacked")).phase is Phase.SEALED


def sees(all: Parties, *organisations: str) -> FabricLedger:
    """The sponsor's admin, who knows the peers of these organisations alone."""
    own = all.connections["Org1MSP"]
    peers = tuple(peer for peer in own.peers if peer.msp_id in organisations)
    connection = msgspec.structs.replace(own, peers=peers)
    return FabricLedger(connection, key=own.admin.key, certificate=own.admin.certificate)


def test_foreign_expired_and_revoked_certificates_are_nobody(network: Network, tmp_path: Path) -> None:
    async def story() -> None:
        async with Parties(network) as all:
            await all.found()
            cases = {
                "foreign": forged(tmp_path / "foreign", all, "Org1MSP", foreign=True),
                "expired": forged(tmp_path / "expired", all, "Org1MSP", hours=-1 / 60),
                "revoked": forged(tmp_path / "revoked", all, "Org1MSP", serial=REVOKED),
            }
            for name, files in cases.items():
                with pytest.raises(CandorError) as caught:
                    async with FabricLedger(
                        all.sponsor_side, key=files.key, certificate=files.certificate
                    ) as ledger:
                        await ledger.submit("Registry:register", [])
                assert isinstance(caught.value, (Refused, Unavailable)), (name, caught.value)
            valid = forged(tmp_path / "valid", all, "Org1MSP")
            async with FabricLedger(
                all.sponsor_side, key=valid.key, certificate=valid.certificate
            ) as ledger:  # enrolled, but not allowed
                await refused(403, ledger.submit("Registry:register", []))

    asyncio.run(story())


def test_a_timestamp_thirty_days_off_changes_nothing(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with Parties(network) as all:
            await all.found()
            members = [await all.member(f"Org{i}MSP", 0, 10_000) for i in (1, 2, 3)]
            spec = await all.create("timed", members)
            honest = sdk_timestamp()
            for days in (-30, 30):
                monkeypatch.setattr(module_of_timestamp(), "current_timestamp", shifted(honest, days))
                with pytest.raises((Refused, Unavailable)) as caught:  # Fabric 3 refuses the proposal itself
                    await all.admin.submit("Rounds:close", "timed", 1, await all.fresh())
                assert isinstance(caught.value, Unavailable) or caught.value.code == 425
            state = await all.state("timed")
            commits = [(who, all.digest(who, all.work(spec), "timed")) for who in members]
            for (who, digest), days in zip(commits[:2], (-30, 30), strict=True):
                monkeypatch.setattr(module_of_timestamp(), "current_timestamp", shifted(honest, days))
                with contextlib.suppress(Unavailable):
                    await all.commit(
                        who, digest, "timed", spec
                    )  # Fabric 2.5 takes it, and nothing reads when
            monkeypatch.undo()
            committed = await all.view.participants("timed", 1)
            for who, digest in commits:
                if who.member_id not in committed:
                    await all.commit(who, digest, "timed", spec)
            assert await all.state("timed") == state
            assert len(await all.view.participants("timed", 1)) == 3

    asyncio.run(story())


def module_of_timestamp() -> Any:
    import hfc.fabric.channel.channel

    return hfc.fabric.channel.channel


def sdk_timestamp() -> Any:
    assert sdk.Channel  # hfc is importable only after our aliases
    return module_of_timestamp().current_timestamp


def shifted(honest: Any, days: int) -> Any:
    def current() -> Any:
        stamp = honest()
        stamp.seconds += int(datetime.timedelta(days=days).total_seconds())
        return stamp

    return current


def test_a_beacon_that_stalls_and_comes_back_delays_the_round_and_slashes_nobody(network: Network) -> None:
    async def story() -> None:
        async with Parties(network) as all:
            await all.found()
            members = [await all.member(f"Org{i}MSP", 0, 10_000) for i in (1, 2, 3)]
            spec = await all.create("stalled", members)
            works = {who.member_id: all.work(spec) for who in members}
            for who in members:
                digest = all.digest(who, works[who.member_id], "stalled")
                await all.commit(who, digest, "stalled", spec)
            await all.admin.submit("Rounds:close", "stalled", 1, await all.fresh())
            await stall(all, network)
            state = await all.state("stalled")
            pairing = await all.beacons.at(state.pairing_round)
            await all.admin.submit("Rounds:pair", "stalled", 1, pairing, await current(all))
            assert (await all.state("stalled")).deadline >= all.info.time(pairing.round) + spec.reveal_seconds
            for who in members:
                await all.reveal(who, works[who.member_id], "stalled")
            await all.admin.submit("Rounds:seal", "stalled", 1, await all.fresh())
            sampling = await all.beacons.at((await all.state("stalled")).sampling_round)
            transient = {f"report/{member}": work.data for member, work in works.items()}
            await all.admin.submit("Settlement:settle", "stalled", 1, sampling, transient=transient)
            assert not any(o.slashed for o in (await all.view.outcomes("stalled", 1)).values())

    asyncio.run(story())


async def stall(all: Parties, network: Network) -> None:
    """Two of three beacon nodes down for a while: no rounds; then back, all at once."""
    names = ["org2-drand", "org3-drand"]
    for name in names:
        await asyncio.to_thread(network.keeper.stop, name)
    last = (await all.fresh()).round

    async def silent() -> bool:
        return all.info.round_at(int(time.time())) > last + 12

    await until(silent, 30, "twelve rounds that did not come")
    assert (await all.fresh()).round <= last + 1
    with pytest.raises(Refused) as stale:
        await all.admin.submit("Rounds:pair", "stalled", 1, await all.fresh(), await all.fresh())
    assert stale.value.code in (409, 422)
    for name in names:
        await asyncio.to_thread(network.keeper.restart, name)


async def current(all: Parties) -> Beacon:
    """A beacon of now, once the nodes have caught up."""

    async def caught_up() -> bool:
        return (await all.fresh()).round >= all.info.round_at(int(time.time())) - 1

    await until(caught_up, 60, "the beacon catches up")
    return await all.fresh()
