"""Every command can speak JSON, and says in a sentence what is wrong with its input and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fl_client import participant
from fl_client.cli import app as root
from fl_client.cli import session
from fl_client.cli.app import app
from fl_client.cli.network import blocks_of
from fl_client.demo import run as demo
from fl_client.errors import BadInput, CandorError, Refused, Unavailable
from fl_client.participant import Share
from network.errors import NetworkError
from network.network import Network

CLIENT = "client run --connection junk --identity User1 --job j --journal d --share"
BAD = [
    "demo --mechanism none",
    "demo --cast lazy",
    "demo --cast exact-copies",
    "demo --directory .",
    "network up nosuch",
    "network down",
    "network status",
    "network logs org1-peer",
    "network programs nosuch",
    "network compose nosuch",
    "network programs flow",
    f"{CLIENT} nonsense",
    CLIENT + ' {"problem":"digits","settings":{},"client":0,"clients":6,"behavior":"random"}',
    CLIENT + ' {"problem":"digits","settings":{},"client":0,"clients":6}',
    "score --rule none",
    "score --rule dasgupta-ghosh",
    "audit j",
    "audit j --from-blocks junk",
    "audit j --from-blocks missing",
    "export j --out x.zip",
    "member list",
    "member list --connection missing",
    "member rotate --identity User1 --new-key junk",
    "token transfer Org2MSP much",
    "token balance --connection .",
    "governance propose p nonsense",
    'governance propose p {"action":"fly"}',
    "governance found --settings junk",
    "job create j missing",
    "job create j junk",
    "job plan list",
    "job plan .",
    "job watch j",
    "incentives --attack none",
    "incentives --attack json:loads",
    "incentives --problem none",
    "incentives --problem json:loads",
    "incentives --split 7",
    "incentives --mechanism none",
    "incentives --rule none",
]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield " ".join(path), command
        return
    for name, each in inside.items():
        yield from commands(each, (*path, name))


@pytest.mark.parametrize(("name", "command"), list(commands(typer.main.get_command(app))))
def test_every_command_can_speak_json(name: str, command: Any) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}, name


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without a network, with files that are not what a command wants."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk").write_text("nope")
    (tmp_path / "list").write_text("[]")
    (tmp_path / "flow").write_text("name: [\n")
    return tmp_path


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_told_with_its_remedy(place: Path, line: str) -> None:
    with pytest.raises((CandorError, NetworkError)) as caught:
        CliRunner().invoke(app, line.split(), catch_exceptions=False, env={"CANDOR_CONNECTION": None})
    fault = caught.value
    assert fault.exit_code
    assert getattr(fault, "remedy", ""), fault
    assert "\n" not in str(fault)


@pytest.mark.parametrize(
    "share",
    [
        Share("digits", {"public_items": 1}, 0, 6),
        Share("digits", {"nosuch": 1}, 0, 6),
        Share("digits", {}, 6, 6),
        Share("json:loads", {}, 0, 6),
        Share("digits", {}, 0, 6, behaviour="exact-copies"),
    ],
)
def test_a_share_that_cannot_be_worked_on_is_bad_input(share: Share) -> None:
    with pytest.raises(BadInput):
        participant.learner(share)


@pytest.mark.parametrize("line", ["demo --embedded --out /proc/x", "nosuch", "job plan junk"])
def test_a_process_ends_with_one_sentence_and_no_traceback(place: Path, line: str) -> None:
    argv = [sys.executable, "-m", "fl_client.cli", *line.split()]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(("candor: ", "Usage: "))


def test_an_orderer_that_stands_still_shows_in_the_status() -> None:
    heights = {"orderer0": 12, "orderer1": 9, "orderer2": -1}
    shown = [blocks_of(name, heights) for name in (*heights, "org1-peer")]
    assert shown == ["12", "9, 3 behind", "no answer", ""]


@pytest.mark.parametrize("code", [400, 403, 404, 409, 425, 429])
def test_a_contracts_refusal_is_told_with_a_remedy(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise Refused(code, "no")

    monkeypatch.setattr(root, "app", refuse)
    with pytest.raises(SystemExit) as ended:
        root.main()
    assert ended.value.code == 3
    told = capsys.readouterr().err
    assert told.startswith(f"candor: refused ({code}): no. ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("refusal", "command"),
    [
        (Refused(409, "the consortium is not founded yet: call Governance:init first"), "governance found"),
        (Refused(403, "the organisation's admin has not allowed this key"), "member allow"),
        (Refused(403, "the member is left"), "member register"),
    ],
)
def test_a_refusal_names_the_command_that_is_missing(
    refusal: Refused, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise refusal

    monkeypatch.setattr(root, "app", refuse)
    with pytest.raises(SystemExit):
        root.main()
    assert capsys.readouterr().err.endswith(f"candor {command}\n")


def test_a_network_out_of_reach_is_told_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(**_: object) -> None:
        raise Unavailable("no peer answered")

    monkeypatch.setattr(root, "app", silent)
    with pytest.raises(SystemExit) as ended:
        root.main()
    assert ended.value.code == Unavailable.exit_code
    assert "candor network status" in capsys.readouterr().err


INTERRUPTED = """
import os, signal, sys
from fl_client.cli.app import main
from network.network import Network

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
Network.load = lambda directory: os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["candor", "network", "status", "--json"]
main()
"""


def test_an_interrupt_is_said_once_and_is_no_traceback() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    argv = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "candor: interrupted\n")


def test_a_table_shows_long_ids_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    member = "Org1MSP:" + "0123456789abcdef" * 4
    session.put_table([], False, ("Name", "Id"), [("User1@org1.test", member)])
    last = [line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert "".join(last) == member


@pytest.mark.parametrize("mine", ["demo/main.py", "demo", "demo.txt"])
def test_the_demo_makes_no_room_where_somebody_elses_work_lies(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).write_text("precious")
    (tmp_path / "notes").touch()
    with pytest.raises(BadInput, match="not a demo's"):
        demo._make_room(tmp_path)
    assert (tmp_path / mine).read_text() == "precious"


@pytest.mark.parametrize("more", [[], ["starting.lock"], ["network.json", "logs"]])
def test_the_demo_makes_its_own_place_anew_however_far_it_came(
    tmp_path: Path, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Network, "load", lambda _: SimpleNamespace(running=False))
    demo._make_room(tmp_path / "network")
    for name in more:
        (tmp_path / "network" / name).touch()
    demo._make_room(tmp_path / "network")
    assert [each.name for each in (tmp_path / "network").iterdir()] == [demo.MARK]
