"""Whatever ends a network, nothing of it is left running; whatever stops its start is told clearly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from peer_commands import THREE, processes, put, query, until

from network.errors import AlreadyRunning, BuildFailed, PortTaken, StartFailed
from network.network import Network
from network.processes import RECORD
from network.topology import Chaincode, Orderers, Topology

pytestmark = [pytest.mark.network, pytest.mark.timeout(120)]

SMALL = msgspec.structs.replace(
    THREE, name="small", organisations=THREE.organisations[:1], orderers=Orderers(count=1)
)
ROOT = Path(__file__).resolve().parents[2]
COMMAND = """
import sys, time
import test_network_cleanup as tests
from network.network import Network
network = Network.up(tests.SMALL, sys.argv[1], tie=sys.argv[2] == "tied")
print("up", flush=True)
if network.running and sys.argv[2] == "tied":
    time.sleep(600)
"""


def command(directory: Path, mode: str = "tied") -> subprocess.Popen[str]:
    """A program of its own that starts the small network."""
    path = {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    argv = [sys.executable, "-c", COMMAND, str(directory), mode]
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **path},
        # a suite in the background of a shell has SIGINT ignored, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def broken(**changes: object) -> Topology:
    return msgspec.structs.replace(SMALL, **changes)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_ending_the_command_ends_the_network(tmp_path: Path, number: int) -> None:
    started = command(tmp_path)
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    assert len(processes(tmp_path)) > 3
    started.send_signal(number)
    started.communicate()
    until(lambda: processes(tmp_path) == [] and not (tmp_path / RECORD).exists())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("seconds", [0.6, 1.1, 1.6])
def test_ending_the_command_while_it_starts_leaves_nothing(
    tmp_path: Path, seconds: float, number: int
) -> None:
    started = command(tmp_path)
    time.sleep(seconds)
    started.send_signal(number)
    started.communicate()
    until(lambda: processes(tmp_path) == [])


def test_two_commands_cannot_start_the_same_network(tmp_path: Path) -> None:
    first = command(tmp_path)
    until(lambda: (tmp_path / RECORD).exists())
    with pytest.raises(AlreadyRunning):
        Network.up(SMALL, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "up\n"
    first.kill()
    first.communicate()
    until(lambda: processes(tmp_path) == [])


def test_a_detached_network_outlives_its_command_until_it_is_taken_down(tmp_path: Path) -> None:
    assert command(tmp_path, "detached").wait(60) == 0
    network = Network.load(tmp_path)
    put(network, "a", "b")
    network.down()
    assert processes(tmp_path) == []


def test_killing_the_keeper_leaves_nothing_and_the_data_is_kept(tmp_path: Path) -> None:
    network = Network.up(SMALL, tmp_path)
    put(network, "a", "kept")
    network.keeper.pid.send(signal.SIGKILL)
    until(lambda: processes(tmp_path) == [])
    network.down()
    assert not (tmp_path / RECORD).exists()
    again = Network.up(SMALL, tmp_path)
    try:
        assert query(again, SMALL.organisations[0], "get", "a") == "kept"
    finally:
        again.down()


def test_a_chaincode_server_that_cannot_start_is_named_with_its_log_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="No module named no_such_module") as failure:
        Network.up(broken(chaincode=Chaincode(module="no_such_module")), tmp_path)
    assert failure.value.name == "org1-chaincode"
    assert failure.value.log.is_relative_to(tmp_path)
    assert processes(tmp_path) == []
    network = Network.up(SMALL, tmp_path)  # the same directory, put right
    network.down()


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    network = Network.up(SMALL, tmp_path)
    network.down()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", network.port("orderer0/listen")))
        other.listen()
        with pytest.raises(PortTaken, match="orderer0/listen"):
            Network.up(SMALL, tmp_path)
    assert processes(tmp_path) == []


def test_a_failed_build_says_what_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "go"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\n[ "$1" = env ] && echo go1.26.5 && exit\necho no route to proxy >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    monkeypatch.setenv("CANDOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CANDOR_BIN", raising=False)
    with pytest.raises(BuildFailed, match="no route to proxy") as failure:
        Network.up(SMALL, tmp_path / "network")
    assert "module proxy" in failure.value.remedy
    assert not list((tmp_path / "cache" / "programs").glob("fabric-*/"))
