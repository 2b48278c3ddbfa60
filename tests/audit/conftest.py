"""The honest job is played once for all tests here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fl_client.audit import FileEvidence, Report, audit, export
from fl_client.store import DirectoryStore
from tests.audit.fabric_chain import Authorities, Channel
from tests.audit.fabric_forging import FabricForgery
from tests.audit.forging import Forgery, Keys, keys_of, replace
from tests.audit.honest import Honest, play
from tests.world import ORGANISATIONS


class Played(NamedTuple):
    """The honest job, its evidence file, and the keys of all who took part."""

    honest: Honest
    file: Path
    keys: Keys


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    directory = tmp_path_factory.mktemp("honest")

    async def work() -> Honest:
        honest = await play(DirectoryStore(directory / "store"))
        assert not (await export(honest.evidence(), directory / "evidence.zip")).missing
        return honest

    with keys_of() as keys:
        return Played(asyncio.run(work()), directory / "evidence.zip", keys)


class Fabric(NamedTuple):
    """The same as a Fabric network would have it: who makes its blocks, and the evidence file."""

    channel: Channel
    file: Path


@pytest.fixture(scope="session")
def fabric(played: Played, tmp_path_factory: pytest.TempPathFactory) -> Fabric:
    plain = Forgery(played.file)
    made = Channel(Authorities(played.honest.world.identities), ORGANISATIONS, played.keys)
    plain.raw = [block.SerializeToString() for block in made.chain(plain.blocks)]
    plain.manifest = replace(plain.manifest, ledger="fabric", organisations=())
    return Fabric(made, plain.write(tmp_path_factory.mktemp("fabric") / "fabric.zip"))


@pytest.fixture
def blocks(fabric: Fabric, tmp_path: Path) -> Path:
    """A directory of blocks as `peer channel fetch` writes them."""
    directory = tmp_path / "blocks"
    directory.mkdir()
    for block in FabricForgery(fabric.file).chain:
        (directory / f"candor_{block.header.number}.block").write_bytes(block.SerializeToString())
    return directory


@pytest.fixture(scope="session")
def evidence_file(played: Played) -> Path:
    return played.file


@pytest.fixture
def forgery(played: Played) -> Forgery:
    return Forgery(played.file, played.keys)


@pytest.fixture
def audited(tmp_path: Path) -> Callable[[Forgery], Report]:
    """Writes a forgery and audits it."""

    def work(forged: Forgery) -> Report:
        return asyncio.run(audit(FileEvidence(forged.write(tmp_path / "forged.zip"))))

    return work
