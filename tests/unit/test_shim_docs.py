"""The example in docs/shim.md runs as it stands there."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from shim_helpers import CREATOR, call

from chaincode.shim import Chaincode, Identity
from chaincode.shim.memory import WorldState, endorse

PAGE = Path(__file__).parents[2] / "docs" / "shim.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's contract and its test, imported from files as a reader would have them."""
    contract, test = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "assets.py").write_text(contract)
    (tmp_path / "assets_test.py").write_text(test)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "assets", raising=False)
    return importlib.import_module("assets_test")


def test_the_documented_test_passes(example: ModuleType) -> None:
    example.test_an_asset_is_created_once(Identity.parse(CREATOR))


def test_the_documented_contract_transfers_an_asset(example: ModuleType) -> None:
    chaincode, state = Chaincode([example.Assets()]), WorldState()
    seen = []
    steps = [
        ("create", "car", "7"),
        ("create", "car", "8"),
        ("transfer", "car", "bob"),
        ("transfer", "car", "x"),
    ]
    for number, args in enumerate([*steps, ("read", "car"), ("read", "bike"), ("create", "bike", "1.5")]):
        endorsement = asyncio.run(endorse(chaincode, call(state, *args)))
        state.apply(endorsement.read_write_set.writes, (number, 0))
        seen.append(endorsement.status)
    assert seen == [200, 409, 200, 403, 200, 404, 400]
