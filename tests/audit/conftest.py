"""The honest job is played once for all tests here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_client.audit import FileEvidence, Report, audit
from tests.audit.forging import Forgery
from tests.audit.honest import exported


@pytest.fixture(scope="session")
def evidence_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(exported(tmp_path_factory.mktemp("honest")))


@pytest.fixture
def forgery(evidence_file: Path) -> Forgery:
    return Forgery(evidence_file)


@pytest.fixture
def audited(tmp_path: Path) -> Callable[[Forgery], Report]:
    """Writes a forgery and audits it."""

    def work(forged: Forgery) -> Report:
        return asyncio.run(audit(FileEvidence(forged.write(tmp_path / "forged.zip"))))

    return work
