"""The same calls at a real peer and on the stub in memory."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everything import Everything
from peer_commands import orderer_words, peer

from chaincode.shim import Chaincode, Identity
from chaincode.shim.memory import Endorsement, MemoryStub, Other, WorldState, endorse, validate
from chaincode.shim.protos import identities as identity_protos
from fl_client.audit.blocks import Transaction
from fl_client.audit.fabric.reader import FabricBlocks
from network.identities import Identities
from network.network import Network
from network.topology import Chaincode as Deployed
from network.topology import Orderers, Organisation, Topology

ORG = Organisation(msp_id="Org1MSP", domain="org1.test", clients=1)
ONE = Topology(
    name="one",
    organisations=[ORG],
    orderers=Orderers(count=1, batch_timeout="100ms"),
    chaincode=Deployed(name="everything", factory="everything:Everything"),
)
NAME, SECOND = ONE.chaincode.name, "second"  # both serve Everything


class Memory:
    """The contract on the stub in memory."""

    def __init__(self, creator: Identity) -> None:
        self.state, self.creator = WorldState(), creator
        self.others = {SECOND: Other(Chaincode([Everything()]), WorldState())}
        self._chaincode = Chaincode([Everything()])
        self._block = 0

    def call(self, *args: str, commit: bool = False, **options: Any) -> Endorsement:
        """Endorse, and commit if that is wished."""
        endorsement = self.endorse([arg.encode() for arg in args], **options)
        if commit:
            self._block += 1
            self._commit(self.state, endorsement.read_write_set)
            for name, rwset in endorsement.called:
                self._commit(self.others[name].state, rwset)
        return endorsement

    def endorse(
        self,
        args: list[bytes],
        *,
        transient: Mapping[str, bytes] | None = None,
        creator: Identity | None = None,
        state: WorldState | None = None,
    ) -> Endorsement:
        """One call, by default on this object's state and as its creator."""
        stub = MemoryStub(
            state or self.state,
            channel=ONE.channel,
            tx_id=f"{self._block}",
            chaincode=NAME,
            args=args,
            transient=transient or {},
            creator=creator or self.creator,
            others=self.others,
        )
        return asyncio.run(endorse(self._chaincode, stub))

    def _commit(self, state: WorldState, rwset: Any) -> None:
        assert validate(state, rwset) == "VALID"
        state.apply(rwset.writes, (self._block, 0), f"{self._block}")


def words(*args: str, chaincode: str = NAME) -> list[str]:
    """What ``peer chaincode`` is to call."""
    call = json.dumps({"Args": args}, ensure_ascii=False)
    return ["-C", ONE.channel, "-n", chaincode, "-c", call]


def submit(
    network: Network,
    *args: str,
    transient: Mapping[str, bytes] | None = None,
    wait: bool = True,
    chaincode: str = NAME,
) -> None:
    """Endorsed by the one peer, ordered and, with ``wait``, committed as valid; else CommandFailed."""
    where = [*orderer_words(network), *(["--waitForEvent"] if wait else [])]
    where += ["--peerAddresses", f"127.0.0.1:{network.port('org1/peer/listen')}"]
    where += ["--tlsRootCertFiles", str(Identities(network.directory, network.topology).tls_ca(ORG))]
    values = {key: base64.b64encode(value).decode() for key, value in (transient or {}).items()}
    call = [*words(*args, chaincode=chaincode), "--transient", json.dumps(values)]
    peer(network, ORG, "chaincode", "invoke", *where, *call)


def query(
    network: Network, *args: str, environment: Mapping[str, str] | None = None, chaincode: str = NAME
) -> bytes:
    """What the peer answers, as it stands."""
    call = words(*args, chaincode=chaincode)
    answer = peer(network, ORG, "chaincode", "query", "--hex", *call, environment=environment)
    return bytes.fromhex(answer)


class Chain:
    """The channel's transactions, as its blocks have them."""

    def __init__(self, network: Network) -> None:
        self._network, self._reader = network, FabricBlocks(ONE.channel)
        self._found: list[Transaction] = []
        self._height = 0

    def transactions(self) -> list[Transaction]:
        """All there are by now."""
        info = peer(self._network, ORG, "channel", "getinfo", "-c", ONE.channel)
        height = json.loads(info.partition("Blockchain info:")[2])["height"]
        for number in range(self._height, height):
            self._found += self._reader.read(self.block(number)).transactions
        self._height = height
        return self._found

    def block(self, number: int) -> bytes:
        """One block's bytes."""
        call = words("GetBlockByNumber", ONE.channel, str(number), chaincode="qscc")
        return bytes.fromhex(peer(self._network, ORG, "chaincode", "query", "--hex", *call))


def identity(certificate: Path) -> Identity:
    """The organisation's member with that certificate."""
    raw = identity_protos.SerializedIdentity(mspid=ORG.msp_id, id_bytes=certificate.read_bytes())
    return Identity.parse(raw.SerializeToString())
