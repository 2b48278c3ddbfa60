"""Somebody's own attacks, model and data in the lab: the documents' examples as they stand, and what goes wrong."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from fl_client.cli.app import app
from fl_client.errors import BadInput
from fl_client.incentives import lab
from fl_client.incentives.attackers.base import sends_update

PAGE = Path(__file__).parents[2] / "docs/incentives.md"
BROKEN = """
import numpy as np
from fl_client.training.behaviour import Honest

class Outside(Honest):
    def infer(self, work, weights):
        return np.full(len(work.batch), 10)

class Short(Honest):
    def infer(self, work, weights):
        return super().infer(work, weights)[1:]

class Floats(Honest):
    def infer(self, work, weights):
        return np.zeros(len(work.batch))

class Raises(Honest):
    def infer(self, work, weights):
        raise LookupError("no such label")

class Shapeless(Honest):
    def train(self, work):
        return [weight[:1] for weight in work.weights]

class Nothing:
    pass

class OneWay:
    alphabet = 4

    def public(self):
        return np.zeros((200, 8), np.float32)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the documents' example, and with classes that do not work."""
    (tmp_path / "mine.py").write_text(
        next(iter(re.findall(r"```python\n# mine.py\n(.*?)```", PAGE.read_text(), re.S)))
    )
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("mine", "broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def mine(directory: Path) -> ModuleType:
    return importlib.import_module("mine")


def plan(**changes: object) -> lab.Plan:
    terms: dict[str, object] = {
        "schemes": lab.schemes(["qualify-and-vest"], []),
        "attacks": [],
        "splits": ["iid"],
        "seeds": 1,
        "rounds": 2,
        "tasks": 200,
        "places": 1,
        "contributions": 0,
    }
    return lab.Plan(**(terms | changes))  # type: ignore[arg-type]


def earned(found: lab.Played, attack: str) -> list[float]:
    """What the attacker earned in each round, as a share of what its place earns when honest."""
    (played,) = found.attacks[attack]
    honest = found.honest.pay["qualify-and-vest/dasgupta-ghosh"]
    own = played.attacker["qualify-and-vest/dasgupta-ghosh"]
    return [mine / each[played.place] for mine, each in zip(own, honest, strict=True)]


def test_the_documents_attacks_play_and_earn_what_they_should(mine: ModuleType, tmp_path: Path) -> None:
    attacks = ["mine:Lazy", "mine:Doubled", "mine:Agreed"]
    wanted = plan(attacks=attacks, problems=["synthetic-5"])
    found = lab.play(wanted, wanted.settings()[0], tmp_path / "cache")
    lazy, doubled = earned(found, "mine:Lazy"), earned(found, "mine:Doubled")
    assert 0 < lazy[0] < 0.8
    assert lazy[0] == lazy[1]  # its updates are honest
    assert doubled[0] == 1.0  # its report is, and nothing is known of its updates yet
    assert len(found.attacks["mine:Agreed"][0].replaced) == 2


def test_an_update_counts_where_a_class_trains_in_a_way_of_its_own(mine: ModuleType) -> None:
    assert sends_update(mine.Doubled())
    assert not sends_update(mine.Lazy())


@pytest.mark.training
def test_the_documents_problem_is_trained_by_keras(directory: Path) -> None:
    arguments = "incentives --problem mine:Blobs --attack random --seeds 1 --rounds 1 --tasks 200 --shapley 0"
    arguments += " --mechanism qualify-and-vest --split iid --split .5 --jobs 1 --json"
    result = CliRunner().invoke(app, arguments.split(), env={"PYTHONPATH": str(directory)})
    assert result.exit_code == 0, result.output
    rows = [row for row in json.loads(result.stdout) if row["round"] == "job"]
    assert [(row["problem"], row["split"]) for row in rows] == [("mine:Blobs", "iid"), ("mine:Blobs", ".5")]
    assert all(row["pay_ratio"] < 0.2 < row["honest_pay"] for row in rows)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("Outside", "labels 10 to 10, not 0 to 4"),
        ("Short", r"of shape \(199,\), not 200 integers"),
        ("Floats", "float64"),
        ("Raises", r"broken:Raises cannot be played: LookupError: no such label \(.*broken.py, line 19\)"),
        ("Shapeless", "broken:Shapeless cannot be played: .*wrong shape"),
    ],
)
def test_an_attack_that_cannot_be_played_is_named_with_the_reason(
    directory: Path, attack: str, said: str
) -> None:
    wanted = plan(attacks=[f"broken:{attack}"], problems=["synthetic-5"])
    with pytest.raises(BadInput, match=said):
        lab.play(wanted, wanted.settings()[0], directory / "cache")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attacks": ["broken:Nothing"]}, "broken:Nothing is no attacker"),
        ({"problems": ["broken:OneWay"], "splits": ["iid", ".1"]}, "shares its data out in one way only"),
        ({"problems": ["broken:OneWay"], "tasks": 201}, "has 200 public items, too few for 201 tasks"),
        ({"problems": ["digits"], "tasks": 701}, "has 700 public items"),
    ],
)
def test_what_cannot_be_played_is_refused_beforehand(
    directory: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        lab.check(plan(**changes))


def test_a_problem_of_one_split_is_played_with_that_one(directory: Path) -> None:
    lab.check(plan(problems=["broken:OneWay"]))


def test_the_list_of_attacks_is_in_whole_sentences() -> None:
    told = json.loads(CliRunner().invoke(app, ["incentives", "--list", "--json"]).stdout)
    assert all(text.endswith(".") and "\n" not in text for text in told.values())
