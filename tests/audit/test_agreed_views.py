"""The audit of a job whose committee agrees on views: one member keeps its view back, then evidence is changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaincode.cid import raw_cid
from fl_client.audit import Class, FileEvidence, LiveEvidence, audit, export
from tests.aggregation_faults import HiddenView
from tests.audit.forging import Forgery, edit_json
from tests.contracts.test_view_agents import ODD, Federation


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The exported job, and the member whose view nobody could get."""
    directory = tmp_path_factory.mktemp("views")

    async def story() -> str:
        job = await Federation.ready(directory, committee=5)
        await job.play({ODD: HiddenView})
        assert all(job.seats[ODD].me in state.forfeited for state in job.states[:-1])
        live = LiveEvidence("job", job.world.admin, job.store)
        assert (await export(live, directory / "job.zip")).missing == []
        return job.seats[ODD].me

    return directory / "job.zip", asyncio.run(story())


@pytest.fixture
def forgery(evidence: tuple[Path, str]) -> Forgery:
    return Forgery(evidence[0])


def audited(forgery: Forgery, path: Path):
    return asyncio.run(audit(FileEvidence(forgery.write(path / "forged.zip"))))


def test_a_job_that_agrees_on_views_is_clean_though_one_of_them_was_kept_back(evidence: tuple[Path, str]):
    file, hidden = evidence
    report = asyncio.run(audit(FileEvidence(file)))
    assert report.findings == []
    views = [line for line in report.lines if line.topic == "view"]
    combined = [line for line in views if "of the committee's combine to" in line.text]
    assert [(line.round, line.ok) for line in combined] == [(1, True), (2, True)]
    assert [line.ok for line in views if "hashes to the round's CID" in line.text] == [True] * 3
    kept_back = [line for line in views if line.ok is None]
    assert len(kept_back) == 2
    assert all(hidden[:16] in line.text for line in kept_back)


def test_a_forged_agreed_view_is_found_where_it_was_agreed_on(forgery: Forgery, tmp_path: Path):
    number, _, record = forgery.find("Aggregation:agree")
    forged = raw_cid(b"forged")
    forgery.rewrite(
        "Aggregation:agree", lambda w: edit_json(w, "round/", lambda r: r.update(next_view=forged))
    )
    found = audited(forgery, tmp_path).findings[0]
    assert (found.kind, found.block, found.tx_id) == (Class.AGGREGATE, number, record.tx_id)


def test_a_spared_outlier_is_found(forgery: Forgery, tmp_path: Path):
    forgery.rewrite("Aggregation:agree", lambda w: edit_json(w, "round/", lambda r: r.update(forfeited=[])))
    assert audited(forgery, tmp_path).classes[0] is Class.AGGREGATE


def test_a_view_that_counts_and_cannot_be_had_is_a_finding(forgery: Forgery, tmp_path: Path):
    _, _, record = forgery.find("Aggregation:agree")
    assert record.args[0] == b"Aggregation:agree"
    names = {each.args[6].decode() for b in forgery.blocks for each in b.transactions if named(each.args)}
    gone = next(name for name in sorted(names) if name in forgery.contents)
    del forgery.contents[gone]
    report = audited(forgery, tmp_path)
    assert set(report.classes) == {Class.MISSING}
    assert any(each.expected == gone for each in report.findings)


def named(args: tuple[bytes, ...]) -> bool:
    return args[0] == b"Aggregation:reveal" and len(args) > 6 and bool(args[6])
