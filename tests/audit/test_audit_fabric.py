"""Evidence of a real Fabric network, as `candor export` wrote it: clean, and every forgery of it named.

$CANDOR_EVIDENCE names such a file, of this version's contracts; tests/job makes one of its own and runs the
same cases.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fl_client.audit import FileEvidence, audit
from tests.audit.fabric_cases import CASES, Case
from tests.audit.fabric_forging import FabricForgery

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def exported() -> Path:
    named = os.environ.get("CANDOR_EVIDENCE")
    if not named:
        pytest.skip("CANDOR_EVIDENCE names no evidence file; tests/job makes its own")
    return Path(named)


def test_an_honest_job_on_fabric_is_clean(exported: Path) -> None:
    report = asyncio.run(audit(FileEvidence(exported)))
    assert report.findings == []
    assert report.ledger == "fabric"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_forgery_is_named(exported: Path, tmp_path: Path, case: Case) -> None:
    forged = FabricForgery(exported)
    wanted = case(forged)
    report = asyncio.run(audit(FileEvidence(forged.write(tmp_path / "forged.zip"))))
    assert wanted <= set(report.classes), report.findings
