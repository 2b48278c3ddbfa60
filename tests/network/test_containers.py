"""The set-up of the containers, as far as it runs without Docker: with the real programs, in a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from part_helpers import readable_by_others

from network import compose, containers, topology
from network.binaries import Binaries
from network.containers import Setup, plan_for

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]
THREE = topology.load("three-orgs")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containers") / "network"


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def setup(volume: Path, told: list[str]) -> Setup:
    def tell(text: str, /, *, passing: bool = False) -> None:
        told.append(text)

    made = Setup(plan_for(THREE, Binaries(), tell, volume))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "chown", lambda path, user, group: None)  # for root in a container only
        volume.mkdir()
        made.run("create")
    return made


def mounts() -> list[tuple[str, dict[str, Any]]]:
    services = compose.document(THREE)["services"]
    return [(name, mount) for name, service in services.items() for mount in service.get("volumes", [])]


@pytest.mark.usefixtures("setup")
def test_every_directory_the_compose_file_mounts_is_made(volume: Path) -> None:
    shared = {mount["volume"]["subpath"] for _, mount in mounts() if "volume" in mount}
    assert [path for path in sorted(shared) if not (volume / path).is_dir()] == []


@pytest.mark.usefixtures("setup")
def test_no_container_but_the_set_up_can_see_a_ca_s_key(volume: Path) -> None:
    for name, mount in mounts():
        if "volume" in mount:
            root = volume / mount["volume"]["subpath"]
            assert not list(root.rglob("*ca/priv_sk")), name
            assert not [path for path in root.rglob("priv_sk") if path.parent.name.endswith("ca")], name
    assert len(list((volume / "authorities").rglob("*.key"))) == 2 * (1 + len(THREE.organisations))


def test_nodes_dial_each_other_by_name(setup: Setup, volume: Path) -> None:
    text = (volume / "channel" / "configtx.yaml").read_text()
    consenters = yaml.safe_load(text)["Profiles"]["Channel"]["Orderer"]["EtcdRaft"]["Consenters"]
    assert [one["Host"] for one in consenters] == [f"orderer{index}.orderer.test" for index in range(3)]
    kubo = (containers.pairs(setup.plan)[0].kubo / "config").read_text()
    assert "/dns4/org2-kubo/tcp/4001/" not in kubo  # the address; the peer's id is beside it
    assert "/dns4/org2-kubo/tcp/4001" in kubo
    assert "127.0.0.1" not in kubo + text


def test_the_cluster_s_secrets_are_private_files(setup: Setup, volume: Path) -> None:
    for pair in containers.pairs(setup.plan):
        lines = containers.cluster_environment(pair).read_text().splitlines()
        names = [line.partition("=")[0] for line in lines]
        assert names == ["CLUSTER_SECRET", "CLUSTER_RESTAPI_BASICAUTHCREDENTIALS"]
        assert lines[1].partition("=")[2] == pair.credentials.read_text().strip()
    assert readable_by_others(volume / "ipfs") == []
    assert readable_by_others(volume / "drand") == []


def test_a_second_run_changes_nothing(setup: Setup, volume: Path, told: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in volume.rglob("*")}
    setup.run("create")
    assert told[-1] == "create: done before"
    assert {path: path.stat().st_mtime_ns for path in volume.rglob("*")} == before
