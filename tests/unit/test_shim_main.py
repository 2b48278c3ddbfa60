"""python -m chaincode.shim: from a command to a served chaincode and back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from shim_peer import PATIENCE, Authority, FakePeer, dialled

from chaincode.shim.__main__ import load, main

ROOT = Path(__file__).parents[2]
MODULE = """
import asyncio
from chaincode.shim import Chaincode, Contract, Stub, query

class Slow(Contract):
    @query
    async def wait(self, stub: Stub, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"

def create() -> Chaincode:
    return Chaincode([Slow()])

class Quick(Contract):
    @query
    async def answer(self, stub: Stub) -> str:
        return "quick"

def number() -> int:
    return 7
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a chaincode module and TLS material."""
    authority = Authority.new()
    tls = authority.server_tls()
    (tmp_path / "slow.py").write_text(MODULE)
    (tmp_path / "key").write_bytes(tls.key)
    (tmp_path / "cert").write_bytes(tls.certificate)
    (tmp_path / "ca").write_bytes(authority.pem)
    (tmp_path / "peer.key").write_bytes(authority.issue("peer0")[0])
    return tmp_path


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the working directory, with what the command does to the import path undone after."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return place


def command(factory: str, port: int, *more: str) -> list[str]:
    start = [sys.executable, "-m", "chaincode.shim", factory, "--address", f"localhost:{port}"]
    return [*start, "--package-id", "slow:1", *more]


TLS = ("--tls-key", "key", "--tls-cert", "cert", "--tls-client-ca", "ca")


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def served_until_sigterm(place: Path, factory: str) -> tuple[bytes, str]:
    """Start the command, call it, stop it in the middle of the call; the call's payload and the log."""
    port = free_port()
    authority = Authority.new()
    tls = authority.server_tls()
    for name, content in (("key", tls.key), ("cert", tls.certificate), ("ca", authority.pem)):
        (place / name).write_bytes(content)
    process = await asyncio.create_subprocess_exec(
        *command(factory, port, *TLS), cwd=place, env=environment(), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            log = await process.stderr.readline()  # "serving ..."
            async with dialled(port, authority) as peer:
                answer = await called(peer)
                process.send_signal(signal.SIGTERM)
                payload = (await answer).payload
            log += await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    return payload, log.decode()


async def called(peer: FakePeer) -> asyncio.Future[object]:
    await peer.register()
    answer = await peer.start("0123456789", "Slow:wait", b"0.5")
    await peer.invoke("1", "Slow:wait", b"0.0")  # the first one is being served now
    return answer


@pytest.mark.parametrize("factory", ["slow:create", "slow:Slow"])
def test_a_chaincode_is_served_and_sigterm_lets_the_call_in_flight_end(place: Path, factory: str) -> None:
    payload, log = asyncio.run(served_until_sigterm(place, factory))
    assert payload == b'"waited"'
    assert "serving slow:1 on port" in log
    assert "candor 01234567 Slow:wait 200" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("factory", "more", "complaint"),
    [
        ("slow", TLS, "is not MODULE:FACTORY"),
        ("nowhere:create", TLS, "No module named 'nowhere'"),
        ("slow:nothing", TLS, "has no attribute 'nothing'"),
        ("slow:number", TLS, "must return a Chaincode"),
        ("slow:create", (), "give --tls-key"),
        ("slow:create", TLS[:4], "give --tls-key"),
        ("slow:create", (*TLS, "--plaintext"), "give --tls-key"),
        ("slow:create", (*TLS[:4], "--tls-client-ca", "missing"), "missing"),
        ("slow:create", ("--tls-key", "peer.key", *TLS[2:]), "is not the certificate's"),
        ("slow:create", (*TLS[:4], "--tls-client-ca", "slow.py"), "client CAs cannot be read"),
        ("slow:create", (*TLS, "--health", "nonsense"), "is not HOST:PORT"),
        ("slow:create", (*TLS, "--address", "127.0.0.1:75536"), "'127.0.0.1:75536' is not HOST:PORT"),
        ("slow:create", (*TLS, "--address", "203.0.113.1:9"), "cannot listen on 203.0.113.1:9: "),
        ("slow:create", (*TLS, "--address", "no such host:9"), "cannot listen on no such host:9: "),
        ("slow:create", (*TLS, "--package-id", "slow"), "'slow' is not LABEL:HASH"),
        ("slow:create", (*TLS, "--grace", "-1"), "--grace -1 is not"),
        ("slow:asyncio", TLS, "cannot make a chaincode from slow:asyncio: "),
    ],
)
def test_what_cannot_work_ends_with_one_sentence(
    here: Path, factory: str, more: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(factory, 0, *more)[3:]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_several_contracts_are_served_as_one_chaincode(here: Path) -> None:
    assert set(load("slow:Slow", "slow:Quick").contracts) == {"Slow", "Quick"}
    with pytest.raises(TypeError, match="slow:create returned a Chaincode; it must return a Contract"):
        load("slow:Slow", "slow:create")


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "python -m chaincode.shim assets:Assets --address" in said


@pytest.mark.parametrize("option", ["--address", "--health"])
def test_a_port_in_use_is_reported(here: Path, option: str, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main([*command("slow:create", 0, *TLS)[3:], option, address]) == 2
    assert capfd.readouterr().err == f"chaincode.shim: cannot listen on {address}: Address already in use\n"
