"""An honest job audits clean, live and from its file; the report says what was checked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from chaincode.cid import raw_cid
from chaincode.mtpp import View
from chaincode.view import pack
from fl_client.audit import Class, Expected, FileEvidence, LiveEvidence, Report, audit, export
from fl_client.audit.page import html
from fl_client.audit.text import sections, text, to_json
from fl_client.cli.app import app
from fl_client.errors import BadInput
from fl_client.store import DirectoryStore
from tests.audit.conftest import Fabric, Played
from tests.audit.forging import Forgery
from tests.audit.honest import MEMBERS, ROUNDS, Honest, play
from tests.world import World, ready

runner = CliRunner()


@pytest.fixture(scope="module")
def report(evidence_file: Path) -> Report:
    return asyncio.run(audit(FileEvidence(evidence_file)))


def test_an_honest_job_is_clean_and_every_transaction_was_run_again(report: Report):
    assert report.findings == []
    assert report.executed == report.transactions > 40
    assert all(line.ok is not False for line in report.lines)
    assert all(each.minted == each.held for each in report.totals)


def test_running_everything_again_gives_the_state_that_the_ledger_has_whichever_it_is(
    report: Report, played: Played, fabric: Fabric
):
    assert report.state == played.honest.world.network.state.digest()
    assert asyncio.run(audit(FileEvidence(fabric.file))).state == report.state


def test_every_step_of_every_round_is_told_with_its_block_and_transaction(report: Report):
    wanted = {"opening", "commit", "beacon", "reveal", "report", "seal", "participants", "draw", "score"}
    wanted |= {"payment", "aggregate", "committee"}
    for number in range(1, ROUNDS + 1):
        lines = [line for line in report.lines if line.round == number]
        assert {line.topic for line in lines} >= wanted
        assert all(line.block > 0 and len(line.tx_id) == 64 for line in lines)
    assert sum(line.topic == "commit" for line in report.lines) == ROUNDS * MEMBERS
    assert [line.text for line in report.lines if "did not reveal" in line.text]


def test_a_live_audit_says_the_same_as_the_file(tmp_path: Path):
    async def story() -> None:
        honest = await play(DirectoryStore(tmp_path / "store"))
        live = await audit(honest.evidence())
        assert (await export(honest.evidence(), tmp_path / "one.zip")).missing == []
        await export(honest.evidence(), tmp_path / "two.zip")
        filed = await audit(FileEvidence(tmp_path / "one.zip"))
        assert to_json(live) == to_json(filed)
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

    asyncio.run(story())


def test_a_job_of_two_layers_is_recomputed_from_its_updates_whatever_members_said(tmp_path: Path):
    async def story() -> None:
        honest = await play(DirectoryStore(tmp_path / "store"), strategy="two-layer")
        found = await audit(honest.evidence())
        assert found.findings == []
        assert sum("Aggregation:partial" in line.text for line in found.lines) == ROUNDS
        assert sum("valid updates combine to" in line.text for line in found.lines) == ROUNDS

    asyncio.run(story())


def test_what_an_auditor_knows_beforehand_is_compared(evidence_file: Path, report: Report):
    async def story() -> None:
        for known in (
            Expected(beacon_key="00" * 96),
            Expected(first_hash="00" * 32),
            Expected(last_hash="00" * 32),
            Expected(terms=World(margin=2).terms),
        ):
            found = await audit(FileEvidence(evidence_file), known)
            assert set(found.classes) == {Class.TERMS}
        right = Expected("", report.first_hash, report.last_hash, World().terms)
        assert (await audit(FileEvidence(evidence_file), right)).clean

    asyncio.run(story())


def test_a_round_that_was_voided_and_one_with_a_report_set_aside_are_clean(tmp_path: Path):
    async def story() -> None:
        world, members, spec = await ready(3, extensions=0, rounds=3)
        await world.open()
        for who in members[:2]:
            await world.commit(who, world.work(spec))
        await world.close()
        await world.pair()
        store = DirectoryStore(tmp_path)
        works = {who.member_id: world.work(spec) for who in members}
        await world.open(round=2)
        for who in members:
            await world.commit(who, works[who.member_id], round=2)
        await world.close(round=2)
        await world.pair(round=2)
        for who in members:
            await world.reveal(who, works[who.member_id], round=2)
            if who is not members[0]:
                await store.put(works[who.member_id].data)
        await world.seal(round=2)
        gone = members[0].member_id
        for admin in list(world.admins.values())[:2]:
            await admin.submit("Settlement:missing", "job", 2, gone)
        world.clock.time += spec.missing_seconds + world.terms.beacon.period
        await world.admin.submit("Settlement:close-missing", "job", 2, world.beacon())
        await world.settle({m: w for m, w in works.items() if m != gone}, round=2)
        report = await audit(LiveEvidence("job", world.admin, store))
        assert report.findings == []
        assert any("set aside by vote" in line.text and line.ok is None for line in report.lines)
        assert {number for number, _ in enumerate(sections(report))} >= {0, 1, 2}

    asyncio.run(story())


@pytest.mark.parametrize("mechanism", ["per-round", "qualify-and-vest"])
def test_a_job_of_another_mechanism_is_clean(tmp_path: Path, mechanism: str):
    async def story() -> None:
        terms = {"mechanism": mechanism, "public_items": 16, "scored_tasks": 16}
        honest = await play(DirectoryStore(tmp_path / "store"), **terms)
        await export(honest.evidence(), tmp_path / "job.zip")
        report = await audit(FileEvidence(tmp_path / "job.zip"))
        assert report.findings == []
        assert report.executed == report.transactions
        assert {line.round for line in report.lines if line.topic == "payment"} == {1, 2}

    asyncio.run(story())


PLACES = np.arange(16)
VIEW = pack(View(PLACES % 4, (PLACES + 1) % 4, PLACES * 7 % 16), 4)


async def viewed(path: Path, rule: str = "matched-blocks") -> Honest:
    terms = {"mechanism": "per-round", "rule": rule, "public_items": 16, "scored_tasks": 16}
    return await play(DirectoryStore(path), VIEW, **terms)


@pytest.mark.parametrize("rule", ["matched-blocks", "conditional"])
def test_a_job_whose_rule_needs_a_public_view_is_clean(tmp_path: Path, rule: str):
    async def story() -> None:
        honest = await viewed(tmp_path / "store", rule)
        assert (await export(honest.evidence(), tmp_path / "job.zip")).missing == []
        report = await audit(FileEvidence(tmp_path / "job.zip"))
        assert report.findings == []
        assert report.executed == report.transactions
        lines = [line for line in report.lines if line.topic == "view"]
        assert [(line.round, line.ok) for line in lines] == [(1, True), (2, True)]
        assert len([line for line in report.lines if "the batch's beacon" in line.text and line.ok]) == 2
        assert to_json(report) == to_json(await audit(honest.evidence()))

    asyncio.run(story())


def test_a_public_view_that_is_not_to_be_had_is_a_finding(tmp_path: Path):
    async def story() -> None:
        honest = await viewed(tmp_path / "store")
        evidence = Forgetful("job", honest.world.admin, honest.store)
        exported = await export(evidence, tmp_path / "job.zip")
        assert exported.missing == [f"the public view ({raw_cid(VIEW)})"]
        report = await audit(FileEvidence(tmp_path / "job.zip"))
        assert set(report.classes) == {Class.MISSING}
        assert all("the public view" in each.what for each in report.findings)

    asyncio.run(story())


class Forgetful(LiveEvidence):
    """A store that has lost the view."""

    async def content(self, cid: str) -> bytes | None:
        return None if cid == raw_cid(VIEW) else await super().content(cid)


def test_no_transaction_takes_transient_data_that_the_audit_cannot_put_together():
    """Whoever lets a transaction take more must teach fl_client.audit.executor where an auditor gets it from."""
    server = World().server("Org1MSP")
    taken = {
        f"{contract}:{name}": each.transient
        for contract, transactions in server.contracts.items()
        for name, each in transactions.items()
        if each.transient
    }
    assert taken == {
        "Rounds:reveal": ("report",),
        "Settlement:settle": ("report/*", "view"),
        "Aggregation:reveal": ("view",),
        "Aggregation:agree": ("view/*",),
    }


def test_a_job_that_is_not_there_cannot_be_exported(tmp_path: Path):
    async def story() -> None:
        world, _, _ = await ready(3)
        with pytest.raises(BadInput, match="no job 'none'"):
            await export(LiveEvidence("none", world.admin, None), tmp_path / "x.zip")

    asyncio.run(story())
    assert list(tmp_path.iterdir()) == []


def test_the_page_stands_alone_and_escapes_what_the_ledger_holds(report: Report):
    page = html(msgspec.structs.replace(report, job="<script>"))
    assert "<script>" not in page
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_the_text_shows_the_verdict_first(report: Report):
    from rich.console import Console

    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(text(report))
    shown = console.export_text()
    assert shown.startswith("job job: nothing differs")
    assert "Round 2" in shown


def test_the_command_audits_a_file_as_text_json_and_page(evidence_file: Path, tmp_path: Path):
    page = tmp_path / "report.html"
    done = runner.invoke(app, ["audit", "job", "--from-blocks", str(evidence_file), "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert "nothing differs" in done.output
    assert page.read_text().startswith("<!doctype html>")
    done = runner.invoke(app, ["audit", "job", "--from-blocks", str(evidence_file), "--json"])
    assert json.loads(done.stdout)["findings"] == []


def test_the_command_exits_8_and_names_the_first_class(forgery: Forgery, tmp_path: Path):
    forgery.rewrite("Governance:approve", lambda w: w.update(supply=b"1000000000"))
    file = forgery.write(tmp_path / "forged.zip")
    done = runner.invoke(app, ["audit", "job", "--from-blocks", str(file)])
    assert done.exception is not None
    assert getattr(done.exception, "exit_code", 0) == 8
    assert str(done.exception).startswith("mint: Tokens were made that no vote made.")
