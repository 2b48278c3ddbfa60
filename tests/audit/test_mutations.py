"""Systematic tampering: what the contracts wrote, in every kind of job, and the order in which they did.

A sample each time; CANDOR_MUTATIONS=1000 takes as many of each job (all there are), CANDOR_SEED another sample.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from chaincode.shim.memory import ReadWriteSet
from fl_client.audit import Class, FileEvidence, Report, audit, export
from fl_client.ledger.embedded.records import BlockRecord, TransactionRecord
from fl_client.store import DirectoryStore
from tests.audit.forging import Forgery, Keys, keys_of, replace
from tests.audit.mutations import mutations
from tests.audit.stories import STORIES

SAMPLE, SEED = int(os.environ.get("CANDOR_MUTATIONS", "5")), int(os.environ.get("CANDOR_SEED", "1"))


class Told(NamedTuple):
    """A story's evidence, and the keys of who played in it."""

    file: Path
    keys: Keys


@pytest.fixture(scope="module", params=STORIES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp(request.param)

    async def work() -> None:
        play = await STORIES[request.param](DirectoryStore(directory / "store"))
        await play.world.holdings()
        assert (await export(play.evidence(), directory / "job.zip")).missing == []

    with keys_of() as keys:
        asyncio.run(work())
    return Told(directory / "job.zip", keys)


def audited(path: Path) -> Report:
    return asyncio.run(audit(FileEvidence(path)))


def test_an_honest_job_is_clean(told: Told):
    report = audited(told.file)
    assert report.findings == []
    lost = report.counts.get("invalid", 0)  # races that others won: nothing to run again
    assert report.executed == report.transactions - lost > 25
    assert all(line.ok is not False for line in report.lines)


def test_whatever_is_changed_in_what_a_transaction_wrote_is_named(told: Told, tmp_path: Path):
    chance = random.Random(SEED)  # noqa: S311
    kinds = list(mutations(Forgery(told.file).blocks, chance))
    for mutation in chance.sample(kinds, min(SAMPLE, len(kinds))):
        forgery = Forgery(told.file, told.keys)
        changed = mutation.apply(forgery)
        report = audited(forgery.write(tmp_path / "forged.zip"))
        named = {each.kind for each in report.findings if each.tx_id == changed.tx_id}
        assert named & mutation.classes, f"{mutation.what}: {named}, not {mutation.classes}"
        assert report.findings[0].block == mutation.place.block, mutation.what


# the honest job's chain; all hashes are made right again


def some(chance: random.Random, places: range) -> list[int]:
    return chance.sample(places, min(SAMPLE, len(places)))


def test_a_transaction_left_out_anywhere_is_found(forgery: Forgery, tmp_path: Path):
    honest, chance = forgery.blocks, random.Random(SEED)  # noqa: S311
    for number in some(chance, range(1, len(honest))):
        emptied = replace(honest[number], transactions=())
        forgery.seal([*honest[:number], emptied, *honest[number + 1 :]])
        assert audited(forgery.write(tmp_path / "forged.zip")).findings[0].block == number
        if number < len(honest) - 1:  # what the last block is, only comparison can say
            forgery.seal([*honest[:number], *honest[number + 1 :]])
            assert not audited(forgery.write(tmp_path / "forged.zip")).clean


def test_a_transaction_twice_is_found_under_its_own_id_and_another(forgery: Forgery, tmp_path: Path):
    honest, chance = forgery.blocks, random.Random(SEED)  # noqa: S311
    for number in some(chance, range(1, len(honest))):
        record = honest[number].transactions[0]
        for twice in (record, forgery.signed(record, b"another")):
            forgery.seal([*honest, BlockRecord(0, "", (twice,))])
            report = audited(forgery.write(tmp_path / "forged.zip"))
            assert report.findings[0].block == len(honest), record.args[0]


def read(record: TransactionRecord) -> ReadWriteSet:
    return msgspec.msgpack.decode(record.read_write_set, type=ReadWriteSet)


def touched(rwset: ReadWriteSet) -> set[str]:
    """The keys whose versions a transaction has read."""
    return {key for key, _ in rwset.reads} | {key for read in rwset.ranges for key, _ in read.results}


def test_two_transactions_in_another_order_are_found_unless_nothing_depends_on_it(
    forgery: Forgery, tmp_path: Path
):
    honest, chance = forgery.blocks, random.Random(SEED)  # noqa: S311
    sets = [read(record) for block in honest for record in block.transactions]
    for number in [*some(chance, range(1, len(honest) - 1)), len(honest) - 4]:
        first, second, *later = sets[number - 1 :]
        ones, others = ({key for key, _ in rwset.writes} for rwset in (first, second))
        matters = bool(ones & touched(second) or others & touched(first))
        matters = matters or any((ones | others) & touched(rwset) for rwset in later)
        forgery.seal([*honest[:number], honest[number + 1], honest[number], *honest[number + 2 :]])
        assert audited(forgery.write(tmp_path / "forged.zip")).clean is not matters


@pytest.mark.parametrize("field", ["creator", "args", "tx_id", "nonce", "signature"])
def test_what_the_creator_signed_cannot_be_changed_without_its_key(
    forgery: Forgery, tmp_path: Path, field: str
):
    honest, chance = forgery.blocks, random.Random(SEED)  # noqa: S311
    for number in some(chance, range(1, len(honest))):
        (record,) = honest[number].transactions
        others = {each.creator for block in honest for each in block.transactions} - {record.creator}
        changed = {
            "creator": min(others),
            "args": (*record.args[:-1], record.args[-1] + b" "),
            "tx_id": "f" * 64,
            "nonce": b"another",
            "signature": record.signature[:-1],
        }[field]
        forged = replace(honest[number], transactions=(replace(record, **{field: changed}),))
        forgery.seal([*honest[:number], forged, *honest[number + 1 :]])
        found = audited(forgery.write(tmp_path / "forged.zip")).findings[0]
        assert (found.kind in (Class.CREATOR, Class.PROPOSAL), found.block) == (True, number)
