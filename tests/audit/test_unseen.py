"""What somebody hides behind content that nobody has: a majority of endorsers lies, and no auditor can have the bytes.

A transaction whose content is missing cannot be run to its end. It must not become a place where anything goes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from chaincode.cid import raw_cid
from chaincode.shim.memory import ReadWriteSet
from fl_client.audit import Class, FileEvidence, LiveEvidence, audit, export
from fl_client.ledger.embedded.records import TransactionRecord
from fl_client.store import DirectoryStore
from tests.audit.forging import Forgery, keys_of, replace
from tests.audit.honest import INITIAL, PUBLIC, play
from tests.audit.test_agreed_views import evidence as viewed
from tests.world import ready

NOBODYS = raw_cid(b"what nobody has").encode()
evidence = viewed  # a job that agrees on views, one of which nobody could get


def money(tx_id: str, job: str) -> dict[str, bytes | None]:
    """A thousand units out of nothing, with a debt that makes the sums right."""
    return {f"credit/Org1MSP/{tx_id}/9": b'{"amount":1000}', f"escrow/{job}": b"-1000"}


def made_up(forgery: Forgery, args: tuple[bytes, ...], job: str) -> TransactionRecord:
    """A transaction of that name in a further block, by somebody who had revealed; it writes itself money."""
    record = replace(forgery.find("Rounds:reveal")[2], args=args, payload=b"", event=None)
    record = forgery.signed(record, b"another")
    rwset = ReadWriteSet(writes=tuple(sorted(money(record.tx_id, job).items())))
    forgery.add(replace(record, read_write_set=rwset.to_bytes()))
    return record


@pytest.mark.parametrize(
    ("args", "job"),
    [
        ((b"Rounds:reveal", b"nobodys-job", b"1", NOBODYS, NOBODYS, b"00" * 32), "nobodys-job"),
        ((b"Rounds:reveal", b"job", b"2", NOBODYS, NOBODYS, b"00" * 32), "job"),
        ((b"Aggregation:reveal", b"job", b"2", b"1", NOBODYS, b"00" * 32, NOBODYS), "job"),
    ],
)
def test_money_made_in_a_reveal_of_what_nobody_has(
    forgery: Forgery, audited, args: tuple[bytes, ...], job: str
):
    record = made_up(forgery, args, job)
    found = [each for each in audited(forgery).findings if each.tx_id == record.tx_id]
    assert [each.kind for each in found][1:] == [Class.SUPPLY], "a debt makes up for no credit"
    assert "is refused when it is run again" in found[0].what


def test_a_settlement_of_another_job_that_runs_into_debt(tmp_path: Path):
    async def work() -> None:
        honest = await play(DirectoryStore(tmp_path / "store"))
        await honest.world.create("second", model=raw_cid(INITIAL), public_set=raw_cid(PUBLIC))
        await export(honest.evidence("second"), tmp_path / "second.zip")

    asyncio.run(work())
    forgery = Forgery(tmp_path / "second.zip")
    number, _, record = forgery.find("Settlement:settle")

    def overdraw(writes: dict[str, bytes | None]) -> None:
        left = int(writes["escrow/job"] or b"0")
        writes["escrow/job"] = b"-1"
        writes[f"credit/Org1MSP/{record.tx_id}/9"] = msgspec.json.encode({"amount": left + 1})

    forgery.rewrite("Settlement:settle", overdraw)
    found = asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip")))).findings
    assert (found[0].kind, found[0].block, found[0].tx_id) == (Class.SUPPLY, number, record.tx_id)


def hidden_answer(forgery: Forgery) -> int:
    """Which of the answers is the one whose view nobody has."""
    names = [tx.args for block in forgery.blocks for tx in block.transactions]
    views = [args[6].decode() for args in names if args[0] == b"Aggregation:reveal"]
    return next(place for place, name in enumerate(views) if name not in forgery.contents)


def answered(prefix: str, value: str):
    """Change what an answer says."""

    def edit(writes: dict[str, bytes | None]) -> None:
        key = next(key for key in writes if key.startswith(prefix))
        writes[key] = msgspec.json.encode(value)

    return edit


@pytest.mark.parametrize("prefix", ["opened/", "view/"])
def test_an_answer_whose_view_nobody_has_says_what_its_arguments_say(
    evidence: tuple[Path, str], tmp_path: Path, prefix: str
):
    forgery = Forgery(evidence[0])
    nth = hidden_answer(forgery)
    forgery.rewrite("Aggregation:reveal", answered(prefix, NOBODYS.decode()), nth)
    report = asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip"))))
    number, _, record = forgery.find("Aggregation:reveal", nth)
    assert report.classes == [Class.AGGREGATE], report.findings
    assert (report.findings[0].block, report.findings[0].tx_id) == (number, record.tx_id)


def test_an_answer_whose_view_nobody_has_moves_no_money(evidence: tuple[Path, str], tmp_path: Path):
    forgery = Forgery(evidence[0])
    nth = hidden_answer(forgery)
    record = forgery.find("Aggregation:reveal", nth)[2]
    forgery.rewrite("Aggregation:reveal", lambda writes: writes.update(money(record.tx_id, "job")), nth)
    report = asyncio.run(audit(FileEvidence(forgery.write(tmp_path / "forged.zip"))))
    assert report.classes == [Class.PAYMENT]
    assert {each.tx_id for each in report.findings} == {record.tx_id}


def test_a_reveal_that_was_set_aside_moves_no_money(tmp_path: Path):
    """Most organisations have voted that its report is missing, so no auditor can ask for it."""

    async def work() -> None:
        world, members, spec = await ready(3, rounds=1)
        works = {who.member_id: world.work(spec) for who in members}
        await world.sealed(members, works)
        gone = members[0].member_id
        for admin in list(world.admins.values())[:2]:
            await admin.submit("Settlement:missing", "job", 1, gone)
        world.clock.time += spec.missing_seconds + world.terms.beacon.period
        await world.admin.submit("Settlement:close-missing", "job", 1, world.beacon())
        await world.settle({member: work for member, work in works.items() if member != gone})
        store = DirectoryStore(tmp_path)
        for who in members[1:]:
            await store.put(works[who.member_id].data)
        await export(LiveEvidence("job", world.admin, store), tmp_path / "job.zip")

    with keys_of() as issued:
        asyncio.run(work())
    honest = Forgery(tmp_path / "job.zip", issued)
    assert asyncio.run(audit(FileEvidence(honest.write(tmp_path / "same.zip")))).clean
    record = honest.find("Rounds:reveal")[2]
    honest.rewrite("Rounds:reveal", lambda writes: writes.update(money(record.tx_id, "job")))
    report = asyncio.run(audit(FileEvidence(honest.write(tmp_path / "forged.zip"))))
    assert report.findings[0].kind is Class.PAYMENT
    assert {each.tx_id for each in report.findings} == {record.tx_id}
