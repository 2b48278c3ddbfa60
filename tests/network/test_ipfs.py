"""Private storage: what one organisation puts all keep, and nobody else gets in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from part_helpers import command_lines, organisations, readable_by_others, running
from stray_kubo import another_kubo, connected, dial

from network import ipfs
from network.errors import NetworkError
from network.ipfs import Pair
from network.plan import Plan
from network.steps import until

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]


@dataclass
class Storage:
    """Running storage under test."""

    plan: Plan
    stores: Mapping[str, Mapping[str, str]]

    @property
    def pairs(self) -> list[Pair]:
        return ipfs.pairs(self.plan)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ipfs") / "net"


@pytest.fixture(scope="module")
def storage(home: Path) -> Iterator[Storage]:
    with running(home, organisations(3)) as plan:
        yield Storage(plan, ipfs.start(plan))


def kubo(pair: Pair, path: str, **parameters: str) -> httpx.Response:
    with pair.kubo_api() as api:
        return api.post(path, params=parameters)


def test_content_of_one_organisation_is_in_the_store_of_another(storage: Storage) -> None:
    data = os.urandom(300_000)
    cid = ipfs.replicate(storage.pairs, data)
    answer = kubo(storage.pairs[2], "block/get", arg=cid, offline="true")  # from its own disk
    assert answer.content == data


def test_a_file_of_many_blocks_is_read_by_another_organisation(storage: Storage) -> None:
    data = os.urandom(5 << 20)
    one, _, three = storage.pairs
    with one.kubo_api() as api:
        cid = api.post("add", params={"pin": "true", "cid-version": "1"}, files={"f": data}).json()["Hash"]
    assert kubo(three, "cat", arg=cid).content == data


def test_the_interface_is_the_connection_file_s_store(storage: Storage) -> None:
    assert set(storage.stores) == {"Org1MSP", "Org2MSP", "Org3MSP"}
    store = storage.stores["Org1MSP"]
    user, password = Path(store["credentials"]).read_text().strip().split(":")
    answer = httpx.get(f"{store['cluster']}/id", auth=(user, password), trust_env=False)
    assert answer.json()["peername"] == "org1"
    with httpx.Client(transport=httpx.HTTPTransport(uds=store["kubo"])) as client:
        assert client.post("http://kubo/api/v0/id").json()["ID"]


@pytest.mark.parametrize("auth", [None, ("org1", "wrong"), ("org2", "its own")])
def test_wrong_credentials_are_answered_with_401(storage: Storage, auth: tuple[str, str] | None) -> None:
    if auth == ("org2", "its own"):
        auth = ("org2", storage.pairs[1].credentials.read_text().strip().partition(":")[2])
    assert httpx.get(f"{storage.pairs[0].url}/id", auth=auth, trust_env=False).status_code == 401


@pytest.mark.parametrize("key", [None, "f" * 64], ids=["no swarm key", "another swarm key"])
def test_a_node_without_the_swarm_key_is_refused(storage: Storage, tmp_path: Path, key: str | None) -> None:
    with another_kubo(storage.plan.keeper, tmp_path, key) as stranger:
        answer = dial(stranger, storage.pairs[0].member())
        assert answer.status_code == 500
        assert "failure" in answer.text
        assert not connected(stranger)


def test_a_node_with_the_swarm_key_is_let_in(storage: Storage, home: Path, tmp_path: Path) -> None:
    key = (home / "ipfs" / "swarm.secret").read_text()
    with another_kubo(storage.plan.keeper, tmp_path, key) as stranger:
        assert dial(stranger, storage.pairs[0].member()).is_success


def test_no_organisation_can_remove_what_another_pinned(storage: Storage) -> None:
    cid = ipfs.replicate(storage.pairs, b"mine")
    with storage.pairs[1].cluster_api() as api:
        assert api.delete(f"/pins/{cid}").is_success

    def forgotten() -> bool:
        with storage.pairs[0].cluster_api() as api:
            return api.get(f"/allocations/{cid}").status_code == 404

    until(forgotten, 15, "the pin has left the set of pins at org1")
    assert cid in kubo(storage.pairs[0], "pin/ls", arg=cid).json()["Keys"]


def test_secrets_are_in_no_command_line_and_no_readable_file(storage: Storage, home: Path) -> None:
    found = [(home / "ipfs" / name).read_text() for name in ("swarm.secret", "cluster.secret")]
    found += [pair.credentials.read_text().strip().partition(":")[2] for pair in storage.pairs]
    assert len(set(found)) == 5
    shown = command_lines(storage.plan)
    assert not [secret for secret in found if secret in shown]
    assert readable_by_others(home / "ipfs") == []


def test_a_killed_kubo_comes_back_over_the_socket_it_left(storage: Storage) -> None:
    one = storage.pairs[0]
    cid = ipfs.replicate(storage.pairs, b"kept through a crash")
    storage.plan.keeper.kill("org1-kubo")
    until(lambda: storage.plan.keeper.status()["org1-kubo"].restarts == 1, 10, "a restart")

    def read() -> bool:
        try:
            return kubo(one, "block/get", arg=cid, offline="true").content == b"kept through a crash"
        except httpx.HTTPError as error:
            raise OSError(error) from error

    until(read, 15, "the content after the crash")


def test_a_restart_keeps_content_keys_and_passwords(tmp_path: Path) -> None:
    two = organisations(2)
    with running(tmp_path / "net", two) as plan:
        ipfs.start(plan)
        cid = ipfs.replicate(ipfs.pairs(plan), b"kept")
        before = [(pair.member(), pair.credentials.read_text()) for pair in ipfs.pairs(plan)]
    with running(tmp_path / "net", two) as plan:
        ipfs.start(plan)
        pairs = ipfs.pairs(plan)
        assert [(pair.member(), pair.credentials.read_text()) for pair in pairs] == before
        assert kubo(pairs[1], "block/get", arg=cid, offline="true").content == b"kept"


def test_the_condition_that_does_not_come_true_says_what_was_awaited() -> None:
    with pytest.raises(NetworkError, match=r"a miracle: not within 0.1 s"):
        until(lambda: False, 0.1, "a miracle")


def test_configuration_is_the_same_when_it_is_written_again(storage: Storage) -> None:
    pair = storage.pairs[0]
    before = (pair.kubo / "config").read_bytes(), (pair.cluster / "service.json").read_bytes()
    members = [other.member() for other in storage.pairs]
    name: Any = storage.plan.topology.name
    ipfs.configure(pair.kubo, pair.cluster, pair.listen, members[0], members, name)
    assert ((pair.kubo / "config").read_bytes(), (pair.cluster / "service.json").read_bytes()) == before
