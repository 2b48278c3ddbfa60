"""The beacon suite on the development signer, on nodes that lie or lag, and on real drand nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from beacon_suite import BeaconSuite, Open, run

from chaincode.beacon import Beacon, DevSigner
from fl_client.beacon import BeaconSource, Clock, DevBeacon, DrandBeacon, FastClock, open_beacon
from fl_client.connection import read_connection
from fl_client.errors import BadBeacon, CandorError, Unavailable
from network.network import Network
from network.topology import Chaincode, Drand, Orderers, Organisation, Topology

SPEED, START = 20.0, 1_700_000_000.0
Node = Callable[[str], httpx.Response]


def signer(seed: bytes = b"seed", period: int = 3) -> DevSigner:
    return DevSigner(seed, period=period, genesis_time=int(START) - 100)


def answer(beacon: Beacon) -> httpx.Response:
    body = {"round": beacon.round, "signature": beacon.signature, "randomness": "ignored"}
    return httpx.Response(200, json=body)


def honest(chain: DevSigner, clock: Clock, lag: int = 0) -> Node:
    """A drand node of the chain, ``lag`` rounds behind."""

    def node(which: str) -> httpx.Response:
        newest = chain.info.round_at(int(clock.now())) - lag
        wanted = newest if which == "latest" else int(which)
        return answer(chain.sign(wanted)) if wanted <= newest else httpx.Response(425)

    return node


def source_of(chain: DevSigner, clock: Clock, *nodes: Node | None) -> BeaconSource:
    """A DrandBeacon of these nodes; None is one that is down."""

    def serve(request: httpx.Request) -> httpx.Response:
        node = nodes[int(request.url.host.removeprefix("node"))]
        if node is None:
            raise httpx.ConnectError("refused", request=request)
        return node(request.url.path.rpartition("/")[2])

    urls = [f"http://node{index}" for index in range(len(nodes))]
    return DrandBeacon(urls, chain.info, clock, patience=0.5, transport=httpx.MockTransport(serve))


def clock() -> FastClock:
    return FastClock(SPEED, START)


class TestDevBeacon(BeaconSuite):
    @pytest.fixture
    def source(self) -> Open:
        return lambda: DevBeacon(signer(), clock())

    def test_before_the_first_round_it_waits(self) -> None:
        """A chain that begins in the future has no newest round yet."""
        later = DevSigner(b"seed", period=3, genesis_time=int(START) + 5)
        beacon = run(lambda: DevBeacon(later, clock()), lambda source: source.latest())
        assert beacon.round == 1


class TestDrandBeacon(BeaconSuite):
    """Over HTTP, in process."""

    @pytest.fixture
    def source(self) -> Open:
        def make() -> BeaconSource:
            now = clock()
            return source_of(signer(), now, honest(signer(), now))

        return make

    def test_the_next_node_is_asked_when_one_is_down(self) -> None:
        now = clock()
        nodes = (None, lambda _: httpx.Response(500), honest(signer(), now))
        assert run(lambda: source_of(signer(), now, *nodes), lambda source: source.at(2)).round == 2
        assert run(lambda: source_of(signer(), now, *nodes), lambda source: source.latest()).round > 2

    @pytest.mark.parametrize(
        "lie",
        [
            lambda _: answer(signer(b"another chain").sign(7)),
            lambda _: answer(Beacon(7, signer().sign(8).signature)),
            lambda _: answer(signer().sign(8)),
            lambda _: answer(Beacon(7, "c0" + "00" * 47)),  # the point at infinity
            lambda _: httpx.Response(200, text="no JSON"),
            lambda _: httpx.Response(200, json={"round": "7"}),
        ],
    )
    def test_a_lie_is_told_from_the_truth(self, lie: Node) -> None:
        now = clock()
        good = source_of(signer(), now, lie, honest(signer(), now))
        assert run(lambda: good, lambda source: source.at(7)).round == 7
        bad = source_of(signer(), now, None, lie)
        with pytest.raises(BadBeacon):
            run(lambda: bad, lambda source: source.at(7))

    def test_a_node_that_lags_does_not_hide_the_newest_round(self) -> None:
        now = clock()
        both = source_of(signer(), now, honest(signer(), now, lag=9), honest(signer(), now))
        newest = run(lambda: both, lambda source: source.latest())
        assert newest.round >= signer().info.round_at(int(START))
        behind = source_of(signer(), now, honest(signer(), now, lag=9), honest(signer(), now, lag=5), None)
        assert run(lambda: behind, lambda source: source.latest()).round <= newest.round + 5

    def test_a_node_that_never_stops_sending_is_passed_over(self) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1000)
                await asyncio.sleep(0.01)

        now = clock()
        source = source_of(
            signer(), now, lambda _: httpx.Response(200, content=endless()), honest(signer(), now)
        )

        async def soon(source: BeaconSource) -> Beacon:
            async with asyncio.timeout(10):
                return await source.at(7)

        assert run(lambda: source, soon).round == 7

    def test_a_stalled_chain_is_waited_for_and_dead_nodes_are_not(self) -> None:
        now = clock()
        began = time.monotonic()

        def stalled(which: str) -> httpx.Response:
            resumed = time.monotonic() - began > 1.5  # three times the patience
            return honest(signer(), now)(which) if resumed else httpx.Response(425)

        assert run(lambda: source_of(signer(), now, stalled), lambda source: source.at(9)).round == 9
        for wanted in (lambda source: source.at(9), lambda source: source.latest()):
            with pytest.raises(Unavailable):
                run(lambda: source_of(signer(), now, None, None), wanted)

    def test_no_node_at_all_is_unavailable(self) -> None:
        with pytest.raises(CandorError, match="none is configured"):
            run(lambda: source_of(signer(), clock()), lambda source: source.latest())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    topology = Topology(
        name="beacons",
        organisations=[
            Organisation(msp_id=f"Org{i}MSP", domain=f"org{i}.test", clients=0) for i in (1, 2, 3)
        ],
        chaincode=Chaincode(name="counter", factory="counter:create"),
        orderers=Orderers(count=1),
        drand=Drand(),
    )
    network = Network.up(topology, tmp_path_factory.mktemp("drand") / "net")
    try:
        yield network
    finally:
        network.down()


@pytest.mark.network
@pytest.mark.timeout(180)
class TestDrandNetwork(BeaconSuite):
    """Two organisations' real nodes, after a real key generation."""

    @pytest.fixture
    def source(self, network: Network) -> Open:
        connection = read_connection(network.connection_files["Org1MSP"])
        return lambda: open_beacon(connection)

    def test_the_own_node_may_die(self, network: Network, source: Open) -> None:
        network.keeper.stop("org1-drand")

        async def check(source: BeaconSource) -> None:
            newest = await source.latest()
            assert (await source.at(newest.round + 2)).round == newest.round + 2

        run(source, check)


def test_a_fast_clock_runs_fast() -> None:
    now = FastClock(100, start=0)
    began = time.monotonic()
    asyncio.run(now.sleep(20))
    assert now.now() >= 20
    assert time.monotonic() - began < 2
