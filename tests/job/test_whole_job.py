"""The main job on the real network, looked at from the outside: nothing leaks early, everything recomputes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaincode import beacon as beacons
from chaincode import commitment, draw, report, scoring
from chaincode.encoding import domain
from chaincode.records import Job, Outcome, Reveal, RoundState
from fl_client import aggregator
from fl_client.audit import FileEvidence, audit
from fl_client.beacon import BeaconSource, open_beacon
from fl_client.connection import read_connection
from fl_client.contracts import View
from fl_client.ledger import Ledger, open_ledger
from fl_client.store import Store, open_store
from network.network import Network
from tests.audit.fabric_cases import CASES, Case
from tests.audit.fabric_forging import FabricForgery
from tests.network.peer_commands import reconfigure

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]
ROUNDS, CLIENTS = 2, 6


def demo(directory: Path, *options: str) -> subprocess.Popen[str]:
    """`candor demo` in a process of its own: reports in every round, each against four drawn peers."""
    argv = [
        *(sys.executable, "-m", "fl_client.cli", "demo", "--rounds", str(ROUNDS), "--clients", str(CLIENTS)),
        *("--mechanism", "paper", "--cast", "random,data-10", "--directory", str(directory / "network")),
        *("--out", str(directory / "out"), *options),
    ]
    log = (directory / "demo.log").open("w")
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # a suite in the background of a shell has SIGINT ignored, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def belonging_to(directory: Path) -> list[str]:
    """The command lines of running processes that name the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                here = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(directory) in words or str(directory) in here:
                found.append(words)
    return found


def until(met: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@dataclass
class Finished:
    """The demo's network after the job, still up, and what the command printed."""

    network: Network
    result: dict[str, Any]
    out: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    directory = tmp_path_factory.mktemp("job")
    process = demo(directory, "--keep", "--json")
    printed, _ = process.communicate(timeout=800)
    assert process.returncode == 0, (directory / "demo.log").read_text()
    network = Network.load(directory / "network")
    yield Finished(network, json.loads(printed), directory / "out")
    done = subprocess.run(
        [sys.executable, "-m", "fl_client.cli", "network", "down", "--directory", str(network.directory)],
        check=False,
    )
    assert done.returncode == 0
    until(lambda: not belonging_to(network.directory), 15, "everything gone after `candor network down`")


@dataclass
class Outside:
    """What anyone with read access has."""

    ledger: Ledger
    store: Store
    beacons: BeaconSource
    view: View
    job: Job

    async def state(self, number: int) -> RoundState:
        found = await self.view.round(self.job.id, number)
        assert found is not None
        return found

    def domain(self, number: int) -> bytes:
        return domain(self.ledger.channel, self.ledger.chaincode, self.job.id, number)


@asynccontextmanager
async def outside(finished: Finished) -> AsyncIterator[Outside]:
    connection = read_connection(finished.network.connection_files["Org3MSP"])
    ledger, store = open_ledger(connection, connection.admin), open_store(connection)
    async with ledger, store, open_beacon(connection) as source:
        view = View(ledger)
        job = await view.job(finished.result["job"])
        assert job is not None
        yield Outside(ledger, store, source, view, job)


def test_everyone_is_paid_by_what_they_did_and_no_token_is_lost(finished: Finished) -> None:
    result = finished.result
    assert result["supply"]["minted"] == result["supply"]["held"] > 0
    earned = {client["behaviour"]: 0 for client in result["clients"]}
    for client in result["clients"]:
        earned[client["behaviour"]] += sum(
            each["outcomes"][client["member"]]["payment"] for each in result["rounds"]
        )
    assert earned["honest"] / 4 > 10 * abs(earned["random"])
    assert result["accuracy"][-1] > result["accuracy"][0] + 0.2
    assert {path.name for path in finished.out.iterdir()} == {"result.json", "table.txt", "rounds.png"}
    assert (finished.out / "rounds.png").read_bytes().startswith(b"\x89PNG")


def test_no_report_is_in_any_block_and_no_cid_before_its_reveal(finished: Finished) -> None:
    async def story() -> None:
        async with outside(finished) as seen:
            blocks = [block async for block in seen.ledger.blocks()]
            for number in range(1, ROUNDS + 1):
                first = next(i for i, block in enumerate(blocks) if f'"round":{number}'.encode() in block)
                assert first > 0
                for member, shown in (await seen.view.reveals(seen.job.id, number)).items():
                    data = await seen.store.get(shown.report, limit=1 << 20)
                    assert not any(data in block for block in blocks), f"{member}'s report is in a block"
                    holding = [block for block in blocks if shown.report.encode() in block]
                    assert holding
                    assert all(b"Rounds:reveal" in block for block in holding[:1])
                    assert shown.salt.encode() in holding[0], "the CID is first seen in its own reveal"

    asyncio.run(story())


def test_every_beacon_draw_score_and_payment_recomputes(finished: Finished) -> None:
    async def story() -> None:
        async with outside(finished) as seen:
            for number in range(1, ROUNDS + 1):
                await recompute(seen, number)

    asyncio.run(story())


async def recompute(seen: Outside, number: int) -> None:
    """One round from public facts: beacons, commits, batch, scores, payments, aggregate."""
    state, spec = await seen.state(number), seen.job.spec
    reveals = await seen.view.reveals(seen.job.id, number)
    outcomes = await seen.view.outcomes(seen.job.id, number)
    for drawn, randomness in (
        (state.pairing_round, state.pairing_randomness),
        (state.sampling_round, state.sampling_randomness),
    ):
        beacon = await seen.beacons.at(drawn)
        beacons.verify(seen.job.beacon, beacon)
        assert beacon.randomness.hex() == randomness
    reports = {
        member: report.unpack(await seen.store.get(shown.report, limit=1 << 20), spec.tasks, spec.alphabet)
        for member, shown in reveals.items()
    }
    settled = scoring.settle(
        spec,
        seen.domain(number),
        bytes.fromhex(state.pairing_randomness),
        bytes.fromhex(state.sampling_randomness),
        sorted(outcomes),
        reports,
    )
    assert set(outcomes) == set(spec.allow_list or [])
    for member, outcome in outcomes.items():
        mine = settled[member]
        assert outcome == Outcome(
            score=mine.score, norm=mine.norm, payment=mine.payment, slashed=outcome.slashed
        )
        assert len(mine.scores) == 4
        assert outcome.score == sorted(mine.scores.values())[1], "the lower median of four"
    await recompute_aggregate(seen, state, reveals)


async def recompute_aggregate(seen: Outside, state: RoundState, reveals: dict[str, Reveal]) -> None:
    """The drawn aggregator was the drawn one, and its model is FedAvg of the updates it names."""
    model = await seen.store.get(state.model, limit=seen.job.spec.model_bytes)
    updates = {
        member: await seen.store.get(reveals[member].update, limit=seen.job.spec.model_bytes)
        for member in state.valid
    }
    combined = aggregator.aggregate(model, updates)
    assert await seen.store.get(state.result, limit=seen.job.spec.model_bytes) == combined


def test_the_commits_bind_member_report_update_and_round(finished: Finished) -> None:
    async def story() -> None:
        async with outside(finished) as seen:
            blocks = [block async for block in seen.ledger.blocks()]
            for number in range(1, ROUNDS + 1):
                for member, shown in (await seen.view.reveals(seen.job.id, number)).items():
                    digest = commitment.digest(
                        seen.domain(number), member, shown.report, shown.update, bytes.fromhex(shown.salt)
                    )
                    committed = next(i for i, b in enumerate(blocks) if digest.hex().encode() in b)
                    revealed = next(i for i, b in enumerate(blocks) if shown.report.encode() in b)
                    assert committed < revealed

    asyncio.run(story())


def test_the_batch_is_drawn_by_a_beacon_that_came_after_the_round_opened(finished: Finished) -> None:
    async def story() -> None:
        async with outside(finished) as seen:
            for number in range(1, ROUNDS + 1):
                state, spec = await seen.state(number), seen.job.spec
                beacon = await seen.beacons.at(state.batch_round)
                batch = draw.draw(
                    draw.seed("batch", seen.domain(number), beacon.randomness),
                    range(spec.public_items),
                    spec.tasks,
                )
                assert len(set(batch)) == spec.tasks
                assert state.batch_round < state.pairing_round < state.sampling_round

    asyncio.run(story())


def candor(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    argv = [sys.executable, "-m", "fl_client.cli", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def evidence(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("evidence") / "job.zip"
    connection = finished.network.connection_files["Org2MSP"]
    done = candor(
        "export", finished.result["job"], "--connection", connection, "--identity", "User1", "--out", file
    )
    assert done.returncode == 0, done.stderr
    return file


def test_the_running_network_audits_clean(finished: Finished) -> None:
    connection = finished.network.connection_files["Org3MSP"]
    done = candor("audit", finished.result["job"], "--connection", connection, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["ledger"], report["findings"]) == ("fabric", [])
    assert report["executed"] > 40


def test_its_export_audits_clean_with_neither_network_nor_programs(
    finished: Finished, evidence: Path, tmp_path: Path
) -> None:
    page, away = tmp_path / "report.html", {"PATH": "", "PYTHONPATH": os.getcwd(), "HOME": str(tmp_path)}
    arguments = ("audit", finished.result["job"], "--from-blocks", evidence, "--html", page)
    done = candor(*arguments, cwd=tmp_path, env=away)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing differs" in done.stdout
    assert page.read_text().count("<svg") == 3


def test_a_peers_own_ledger_file_audits_clean_with_the_content_in_a_directory(
    finished: Finished, evidence: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(evidence) as archive:
        contents = [name for name in archive.namelist() if name.startswith("content/")]
        archive.extractall(tmp_path, contents)
    nodes = finished.network.directory / "nodes"
    (file,) = nodes.glob("org1-peer/**/chains/*/blockfile_000000")
    arguments = ("audit", finished.result["job"], "--from-blocks", file, "--contents", tmp_path / "content")
    done = candor(*arguments)
    assert done.returncode == 0, done.stderr
    assert "nothing differs" in done.stdout


def test_after_a_change_of_the_channels_configuration_it_still_audits_clean(
    finished: Finished, evidence: Path
) -> None:
    """`evidence` is exported before: the tests of forgeries want the chain as it was."""
    changed = reconfigure(finished.network)
    connection = finished.network.connection_files["Org2MSP"]
    done = candor("audit", finished.result["job"], "--connection", connection, "--json")
    assert done.returncode == 0, done.stderr
    lines = [line["text"] for line in json.loads(done.stdout)["lines"]]
    listed = [text for text in lines if text.startswith("configuration 1:")]
    assert [text.endswith("signed by Org1MSP") for text in listed] == [True], (changed, listed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_forgery_of_its_export_is_named(evidence: Path, tmp_path: Path, case: Case) -> None:
    forged = FabricForgery(evidence)
    wanted = case(forged)
    report = asyncio.run(audit(FileEvidence(forged.write(tmp_path / "forged.zip"))))
    assert wanted <= set(report.classes), report.findings


ATTACKS = "exact-copies,exact-copies,copy-global,distilled-global,random"


def test_under_the_default_mechanism_a_copier_a_distiller_and_a_coalition_do_not_pay(tmp_path: Path) -> None:
    """Three honest clients; who copies a colleague gets its report from it through a channel of their own."""
    process = demo(tmp_path, "--clients", "8", "--mechanism", "qualify-and-vest", "--cast", ATTACKS, "--json")
    printed, _ = process.communicate(timeout=800)
    assert process.returncode == 0, (tmp_path / "demo.log").read_text()
    result = json.loads(printed)
    kinds = {client["member"]: client["behaviour"] for client in result["clients"]}
    first, second = (each["outcomes"] for each in result["rounds"])
    sharing = {kinds[member] for member, each in first.items() if each["sharing"]}
    assert {"copied", "copier"} <= sharing <= {"copied", "copier", "copy-global", "distilled-global"}
    idle = {"random", "copy-global"}  # a zero update is not valid
    for member, kind in kinds.items():
        assert second[member]["score"] is None, "one qualification pays in every round"
        due = 0 if kind in idle else max(0, first[member]["payment"])  # what is lost is lost at once
        assert abs(second[member]["payment"] - due) <= 1, "the dither"
    pay: dict[str, list[int]] = {}
    for member, kind in kinds.items():
        pay.setdefault(kind, []).append(first[member]["payment"] + second[member]["payment"])
    worst = min(pay["honest"])
    assert len(pay["honest"]) == 3
    assert worst > 0.5 * 2 * 100_00
    for kind in ("random", "copy-global", "distilled-global"):
        assert sum(pay[kind]) < 0.1 * worst
    assert 0 < sum(pay["copied"] + pay["copier"]) < 1.1 * max(pay["honest"]), "one pay between them"
    assert result["supply"]["minted"] == result["supply"]["held"] > 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("moment", ["the channel stands", "the clients run"])
def test_a_demo_ended_in_the_middle_leaves_nothing_behind(tmp_path: Path, moment: str, number: int) -> None:
    process = demo(tmp_path)
    wanted = {"the channel stands": "channel:", "the clients run": "waiting for the clients"}[moment]
    log = tmp_path / "demo.log"
    until(lambda: wanted in log.read_text() or process.poll() is not None, 90, moment)
    assert process.poll() is None, log.read_text()
    process.send_signal(number)
    until(
        lambda: len(belonging_to(tmp_path)) <= 1,
        30,
        "nothing left but the command itself, which may still clean up",
    )
    assert process.wait(timeout=60) != 0
    until(lambda: not belonging_to(tmp_path), 10, "nothing left")
