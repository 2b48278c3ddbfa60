"""The keeper: children are ready when it says so, come back when they crash, and never outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from network.errors import AlreadyRunning, NetworkError, NotRunning, StartFailed
from network.proc import Pid
from network.processes import RECORD, FileExists, Keeper, LogLine, ProcessSpec

ROOT = Path(__file__).resolve().parents[2]
TIED = """
import sys, time
from pathlib import Path
from network.processes import Keeper, LogLine, ProcessSpec
directory = Path(sys.argv[1])
keeper = Keeper.start(directory)
for name in ("one", "two"):
    spec = ProcessSpec(name=name, argv=["sleep", "600"], directory=str(directory), log=str(directory / "log"))
    keeper.spawn(spec)
if sys.argv[2] == "detach":
    keeper.detach()
    sys.exit()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    started = Keeper.start(tmp_path)
    yield started
    started.down()


def spec(directory: Path, script: str, name: str = "child", **more: object) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=["sh", "-c", script],
        directory=str(directory / name),
        log=str(directory / f"{name}.log"),
        **more,  # type: ignore[arg-type]
    )


def until(met: object, seconds: float = 8) -> None:
    end = time.monotonic() + seconds
    while not met():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def pids(directory: Path, *names: str) -> list[Pid]:
    found = [Pid.of(status.pid) for status in Keeper.load(directory).status().values()]
    assert len(found) == len(names)
    return [pid for pid in found if pid]


def test_a_spawn_returns_when_the_process_is_ready(tmp_path: Path, keeper: Keeper) -> None:
    ready = [LogLine("ready to .erve"), FileExists(str(tmp_path / "child" / "flag"))]
    status = keeper.spawn(spec(tmp_path, "sleep .2; echo ready to serve; touch flag; sleep 60", ready=ready))
    assert status.state == "running"
    assert status.memory > 0
    assert (tmp_path / "child" / "flag").exists()


def test_a_process_that_ends_while_starting_is_reported_with_its_log(tmp_path: Path, keeper: Keeper) -> None:
    with pytest.raises(StartFailed, match="no such setting") as failure:
        keeper.spawn(spec(tmp_path, "echo no such setting; exit 3", ready=[LogLine("never")], restart=False))
    assert failure.value.log == tmp_path / "child.log"


def test_a_process_that_is_never_ready_is_reported_at_the_deadline(tmp_path: Path, keeper: Keeper) -> None:
    with pytest.raises(StartFailed, match="not ready within 0.2 s"):
        keeper.spawn(spec(tmp_path, "echo waiting; sleep 60", ready=[LogLine("never")], deadline=0.2))


def test_an_unknown_program_is_a_clear_error_and_the_keeper_lives_on(tmp_path: Path, keeper: Keeper) -> None:
    wrong = ProcessSpec(name="x", argv=["no-such-program"], directory=str(tmp_path), log=str(tmp_path / "x"))
    with pytest.raises(NetworkError, match="no-such-program"):
        keeper.spawn(wrong)
    keeper.spawn(spec(tmp_path, "sleep 60"))


def test_a_crashed_process_comes_back_and_the_restart_is_counted(tmp_path: Path, keeper: Keeper) -> None:
    first = keeper.spawn(spec(tmp_path, "sleep 60")).pid
    keeper.kill("child")
    until(lambda: keeper.status()["child"].restarts == 1)
    status = keeper.status()["child"]
    assert status.pid != first
    assert status.last_exit == -signal.SIGKILL


def test_a_stopped_process_stays_stopped_until_it_is_asked_for(tmp_path: Path, keeper: Keeper) -> None:
    keeper.spawn(spec(tmp_path, "sleep 60"))
    keeper.stop("child")
    assert keeper.status()["child"].state == "stopped"
    assert keeper.spawn(spec(tmp_path, "sleep 60")).state == "running"


def test_a_restart_runs_the_same_process_anew_and_waits_for_it(tmp_path: Path, keeper: Keeper) -> None:
    script = "sleep .2; echo on; sleep 60"
    first = keeper.spawn(spec(tmp_path, script, ready=[LogLine("on")])).pid
    assert keeper.restart("child").pid != first
    assert (tmp_path / "child.log").read_text() == "on\non\n"


def test_a_process_that_ignores_sigterm_is_killed_with_its_own_children(
    tmp_path: Path, keeper: Keeper
) -> None:
    script = "trap '' TERM; sleep 600 & echo $! >grandchild; echo on; wait"
    keeper.spawn(spec(tmp_path, script, ready=[LogLine("on")], grace=0.2))
    grandchild = Pid.of(int((tmp_path / "child" / "grandchild").read_text()))
    assert grandchild is not None
    assert grandchild.alive
    keeper.stop("child")
    until(lambda: not grandchild.alive)


def test_children_get_only_the_environment_they_are_given(
    tmp_path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "env; umask; echo done; sleep 60"
    keeper.spawn(spec(tmp_path, script, env={"GIVEN": "yes"}, ready=[LogLine("done")]))
    lines = (tmp_path / "child.log").read_text().splitlines()
    names = {line.split("=")[0] for line in lines if "=" in line}
    assert "GIVEN" in names
    assert names <= {"GIVEN", "PATH", "HOME", "TMPDIR", "PWD", "SHLVL", "OLDPWD", "_"}
    assert "0077" in lines


def test_higher_layers_go_down_first(tmp_path: Path, keeper: Keeper) -> None:
    for layer, name in enumerate(("low", "high")):
        script = f"trap 'echo {name} >>{tmp_path}/order; exit' TERM; echo on; while :; do sleep .02; done"
        keeper.spawn(spec(tmp_path, script, name, layer=layer, ready=[LogLine("on")]))
    keeper.down()
    assert (tmp_path / "order").read_text().split() == ["high", "low"]


def test_down_leaves_nothing_and_can_be_repeated(tmp_path: Path, keeper: Keeper) -> None:
    keeper.spawn(spec(tmp_path, "sleep 600"))
    (child,) = pids(tmp_path, "child")
    runtime = keeper.runtime
    keeper.down()
    keeper.down()
    assert not child.alive
    assert not runtime.exists()
    assert not (tmp_path / RECORD).exists()
    with pytest.raises(NotRunning):
        Keeper.load(tmp_path)


def test_a_second_keeper_for_a_directory_is_refused(tmp_path: Path, keeper: Keeper) -> None:
    with pytest.raises(AlreadyRunning):
        Keeper.start(tmp_path)


def test_killing_the_keeper_leaves_nothing(tmp_path: Path) -> None:
    keeper = Keeper.start(tmp_path)
    for name in ("one", "two"):
        keeper.spawn(spec(tmp_path, "exec sleep 600", name))
    children = pids(tmp_path, "one", "two")
    keeper.pid.send(signal.SIGKILL)
    until(lambda: not any(child.alive for child in children))
    assert Keeper.find(tmp_path) is None
    keeper.down()
    assert not keeper.runtime.exists()
    assert not (tmp_path / RECORD).exists()


def tied(directory: Path, mode: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", TIED, str(directory), mode]
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        # a suite in the background of a shell has SIGINT ignored, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ending_the_command_it_is_tied_to_leaves_nothing(tmp_path: Path, number: int) -> None:
    command = tied(tmp_path, "stay")
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    children = pids(tmp_path, "one", "two")
    command.send_signal(number)
    command.communicate()
    until(lambda: not any(child.alive for child in children) and not (tmp_path / RECORD).exists())


def test_a_detached_keeper_outlives_its_command(tmp_path: Path) -> None:
    assert tied(tmp_path, "detach").wait(20) == 0
    time.sleep(0.4)
    assert all(child.alive for child in pids(tmp_path, "one", "two"))
    Keeper.load(tmp_path).down()
