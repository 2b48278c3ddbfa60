"""100,000 malformed calls in process, as many at the served chaincode: no crash, hang, 500, stray key or leak.

CANDOR_FUZZ_CALLS sets the number for the in-process run (over all shards), CANDOR_FUZZ_SERVED for the served one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time

import pytest

from chaincode import contracts
from chaincode.contracts.settings import EndorserClock, Settings
from chaincode.records import Phase
from chaincode.shim import Identity
from chaincode.shim.memory import MemoryStub
from tests.attacks.declared import DECLARED
from tests.attacks.fuzzing import Fuzzed, Fuzzer, sound
from tests.attacks.scenes import Scene, scene, story

SHARDS = 2
CALLS = int(os.environ.get("CANDOR_FUZZ_CALLS", "100000"))
SERVED = int(os.environ.get("CANDOR_FUZZ_SERVED", "100000"))
PHASES = (Phase.COMMIT, Phase.CLOSED, Phase.REVEAL, Phase.SEALED, Phase.SETTLED, Phase.AGGREGATE)
SLOW = 5.0  # seconds, of which a machine under load may take most


def stub(at: Scene, call: Fuzzed, number: int) -> MemoryStub:
    network = at.world.network
    return MemoryStub(
        network.state,
        channel=network.channel,
        tx_id=f"{number:064x}",
        chaincode=network.chaincode,
        args=call.args,
        transient=call.transient,
        creator=Identity.parse(call.creator),
    )


def check_refusal(status: int, message: str) -> None:
    """Typed, and of a known code."""
    assert 400 <= status <= 499, (status, message)
    refusal = json.loads(message)
    assert (refusal["code"], set(refusal)) == (status, {"code", "message", "details"})


async def storm(at: Scene, seed: int, calls: int) -> dict[int, int]:
    """Throw the calls at one server; how often each status came."""
    server = at.world.server("Org1MSP")
    fuzzer, statuses = Fuzzer(server, await sound(at), seed), {}
    for number, call in zip(range(calls), fuzzer, strict=False):
        made, began = stub(at, call, number), time.perf_counter()
        response = await server.invoke(made)
        assert time.perf_counter() - began < SLOW, call
        statuses[response.status] = statuses.get(response.status, 0) + 1
        if response.status != 200:
            check_refusal(response.status, response.message)
            continue
        declared = DECLARED.get(call.args[0].decode().partition(":")[0], ())
        for key, _ in made.read_write_set().writes:
            assert key.startswith(declared), (call, key)
            assert key.isprintable(), (call, key)
    return statuses


@pytest.mark.parametrize("shard", range(SHARDS))
@story
async def test_no_malformed_call_crashes_hangs_or_strays(shard, caplog):
    caplog.set_level(logging.WARNING)
    statuses: dict[int, int] = {}
    for place, phase in enumerate(PHASES):
        at = await scene(4)
        await at.to(phase)
        share = CALLS // SHARDS // len(PHASES) + 1
        for status, count in (await storm(at, shard * 100 + place, share)).items():
            statuses[status] = statuses.get(status, 0) + count
    assert sum(statuses.values()) >= CALLS // SHARDS
    assert {200, 400, 403, 404, 409, 422, 425} <= set(statuses), statuses
    assert not caplog.records


@story
async def test_neither_arguments_nor_transient_values_are_ever_logged(caplog):
    caplog.set_level(logging.DEBUG)
    at = await scene(4)
    await at.to(Phase.REVEAL)
    known = await sound(at)
    secrets = [work.salt.hex() for work in at.works.values()]
    server = at.world.server("Org1MSP")
    for number, call in zip(range(2000), Fuzzer(server, known, 7), strict=False):
        call.transient["report"] = b"SECRET-TRANSIENT"
        await server.invoke(stub(at, call, number))
    assert "SECRET-TRANSIENT" not in caplog.text
    assert not any(salt in caplog.text for salt in secrets)


@story
async def test_no_malformed_call_at_the_served_chaincode_crashes_hangs_or_fails(caplog):
    from shim_peer import Authority, dialled, proposal

    from chaincode.shim.exchange import message
    from chaincode.shim.server import Server

    caplog.set_level(logging.ERROR)
    at = await scene(4)
    await at.to(Phase.REVEAL)
    known, authority = await sound(at), Authority.new()
    server = served(at)
    async with (
        asyncio.timeout(120 + SERVED / 50),
        Server(server, "candor:1", address="localhost:0", tls=authority.server_tls()) as listening,
        dialled(listening.port, authority) as peer,
    ):
        await peer.register()
        peer.state = {key: entry.value for key, entry in at.world.network.state.items()}
        fuzzer, waiting = Fuzzer(server, known, 11), []
        for number, call in zip(range(SERVED), fuzzer, strict=False):
            payload, signed = proposal(*call.args, transient=call.transient, creator=call.creator)
            request = message("TRANSACTION", "candor", f"{number:064x}", payload)
            request.proposal.proposal_bytes = signed
            waiting.append(await peer.start_raw(request))
            if len(waiting) == 50:
                for response in await asyncio.gather(*waiting):
                    if response.status != 200:
                        check_refusal(response.status, response.message)
                waiting.clear()
    assert not caplog.records


def served(at: Scene) -> contracts.Consortium:
    """The first organisation's server under the name that the fake peer's proposals carry."""
    terms = at.world.terms
    settings = Settings(
        msp_id="Org1MSP",
        organisations=terms.organisations,
        beacon=terms.beacon,
        freshness=terms.freshness,
        margin=terms.margin,
        registration=terms.registration,
        chaincode="example",
    )
    return contracts.serve(settings, EndorserClock(terms.beacon, wall=at.world.clock.now))
