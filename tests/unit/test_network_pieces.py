"""The network's small pieces: ports, packages, channel rules, programs, imports."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from network.binaries import Binaries, needed
from network.errors import MissingProgram, PortTaken
from network.identities import cryptogen_config
from network.package import connection, package, package_id
from network.ports import Ports, is_free
from network.processes import python_environment
from network.suites import FABRIC, suite_of
from network.topology import load
from network.waits import HttpOk, Listening, PortOpen, UnixSocket

ROOT = Path(__file__).resolve().parents[2]


def test_a_port_keeps_its_name() -> None:
    ports = Ports()
    first = ports.get("org1/peer/listen")
    assert ports.get("org1/peer/listen") == first
    assert Ports(ports.as_dict()).address("org1/peer/listen") == f"127.0.0.1:{first}"


def test_two_networks_that_start_at_once_share_no_port() -> None:
    names = [f"port{number}" for number in range(150)]  # more than a block
    one, other = Ports(), Ports()
    taken = {one.get(name) for name in names}
    assert len(taken) == 150
    assert taken.isdisjoint({other.get(name) for name in names})


def test_a_block_is_given_back_when_its_network_has_started() -> None:
    for _ in range(300):  # more than there are blocks
        Ports().get("x")


def test_ports_keep_out_of_the_range_of_outgoing_connections() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert low < 24000 or Ports().get("x") < low


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortTaken, match=f"port {port} .org1/peer/listen."):
            Ports({"org1/peer/listen": port}).check_free()


def test_waits_tell_a_listener_from_none(tmp_path: Path) -> None:
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as local:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert not Listening(address).met("", 0)
        assert not PortOpen(address).met("", 0)
        assert not HttpOk(f"http://{address}/healthz").met("", 0)
        listener.listen()
        assert Listening(address).met("", 0)
        assert PortOpen(address).met("", 0)
        path = str(tmp_path / "socket")
        local.bind(path)
        assert not UnixSocket(path).met("", 0)  # what a killed program leaves behind
        local.listen()
        assert UnixSocket(path).met("", 0)


def test_a_package_depends_on_its_content_only() -> None:
    content = connection("127.0.0.1:1", key="k", certificate="c", server_ca="a")
    one, other = package("candor_1.0", content), package("candor_1.0", content)
    assert one == other
    assert package_id("candor_1.0", one).startswith("candor_1.0:")
    assert one != package("candor_1.1", content)
    assert one[4:8] == bytes(4)  # no time of making


def test_a_package_asks_for_mutual_tls() -> None:
    made = package("candor_1.0", connection("127.0.0.1:1", key="k", certificate="c", server_ca="a"))
    metadata, code = contents(made, "metadata.json", "code.tar.gz")
    assert json.loads(metadata) == {"type": "ccaas", "label": "candor_1.0"}
    (dial,) = contents(code, "connection.json")
    assert json.loads(dial)["tls_required"] is json.loads(dial)["client_auth_required"] is True


def contents(archive: bytes, *names: str) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = [tar.extractfile(name) for name in names]
        return [file.read() for file in files if file is not None]


def test_cryptogen_makes_a_client_identity_for_each_client() -> None:
    config = cryptogen_config(load("three-orgs"))
    assert [org["Users"]["Count"] for org in config["PeerOrgs"]] == [2, 2, 2]
    assert all(org["EnableNodeOUs"] for org in config["PeerOrgs"] + config["OrdererOrgs"])


def fake_fabric(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True)
    for name in FABRIC.programs:
        (directory / name).write_text(f"#!/bin/sh\necho ' Version: {version}'\n")
        (directory / name).chmod(0o755)
    return directory


@pytest.mark.parametrize("version", ["v2.5.0", "v2.5.12", "v3.1.5", "3.0.0"])
def test_programs_on_path_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("PATH", f"{fake_fabric(tmp_path / 'bin', version)}:/usr/bin:/bin")
    monkeypatch.delenv("CANDOR_BIN", raising=False)
    assert Binaries().path("orderer") == str(tmp_path / "bin" / "orderer")


def test_a_wrong_version_on_path_is_passed_over_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("PATH", f"{fake_fabric(tmp_path / 'bin', 'v2.2.1')}:/usr/bin:/bin")
    monkeypatch.delenv("CANDOR_BIN", raising=False)
    monkeypatch.setattr("network.binaries.cached", lambda suite: None)
    monkeypatch.setattr("network.binaries.build", lambda suite, progress: tmp_path / "built")
    found = Binaries(progress=lambda text, passing=False: said.append(text))
    assert found.path("peer") == str(tmp_path / "built" / "peer")
    assert "it is 2.2.1, not 2.5 or 3" in said[0]


def test_a_wrong_version_in_the_directory_one_asked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match="2.2.1.*2.5 or 3"):
        Binaries(fake_fabric(tmp_path / "bin", "v2.2.1")).path("peer")


def test_an_incomplete_directory_is_an_error_that_lists_the_programs(tmp_path: Path) -> None:
    (fake_fabric(tmp_path / "bin", "v2.5.0") / "osnadmin").unlink()
    with pytest.raises(MissingProgram, match="osnadmin"):
        Binaries(tmp_path / "bin").path("peer")


def test_a_topology_needs_only_the_programs_of_its_parts() -> None:
    assert needed(load("fabric")) == ["peer"]
    assert {suite_of(name).module for name in needed(load("three-orgs"))} == {
        "fabric",
        "kubo",
        "ipfs-cluster",
        "drand",
    }


def test_the_network_imports_neither_of_the_other_packages_nor_anything_heavy() -> None:
    script = "import sys, network.network, network.pytest_plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"chaincode", "fl_client", "tensorflow", "numpy", "grpc", "hfc"})


def test_servers_and_clients_find_modules_in_the_working_directory_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `candor`, an installed command, is started: its own directory is the first to be looked in."""
    (tmp_path / "assets.py").write_text("")
    (tmp_path / "json.py").write_text("raise AssertionError('shadows the real one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/usr/local/bin", *(entry for entry in sys.path if entry)])
    look = "import assets, json"
    done = subprocess.run(
        [sys.executable, "-P", "-c", look],
        env=python_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
