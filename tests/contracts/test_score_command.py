"""`candor score`: the very function that settles, from a pipe."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from chaincode.mtpp import RULES, View
from fl_client.cli.score import pair_score
from fl_client.errors import BadInput


def command(rule: str, given: str) -> subprocess.CompletedProcess[str]:
    """The command itself, as a user runs it."""
    argv = [sys.executable, "-m", "fl_client.cli", "score", "--rule", rule]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60)


def pair(alphabet: int = 3, tasks: int = 12) -> dict[str, object]:
    """A pair and all that any rule may read beside it."""
    draw = np.random.default_rng(7)
    symbols = draw.integers(0, alphabet, (7, tasks)).tolist()
    x, y, z, z2, *others = symbols
    margin = draw.integers(0, 1000, tasks).tolist()
    return {"x": x, "y": y, "alphabet": alphabet, "others": others, "z": z, "z2": z2, "margin": margin}


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_scores_as_the_settlement_does(name):
    given = pair()
    rule, rows = RULES[name], np.array([given["x"], given["y"], *given["others"]])
    view = View(*(np.array(given[field]) for field in ("z", "z2", "margin")))
    found = pair_score(name, json.dumps(given).encode())
    assert (found.score, found.norm) == (rule.matrix(rows, 3, view)[0, 1], rule.norm(12, 3))


def test_the_command_prints_one_json_object():
    done = command("dasgupta-ghosh", json.dumps({"x": [0, 1, 1, 0], "y": [0, 1, 0, 0], "alphabet": 2}))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"score": 4, "norm": 16}


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("no-such-rule", "{}"),
        ("conditional", json.dumps({"x": [0, 1], "y": [1, 0], "alphabet": 2})),
        ("dasgupta-ghosh", ""),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(rule, given):
    done = command(rule, given)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("candor: ")


@pytest.mark.parametrize(
    "change",
    [
        {"x": [0, 1, 3] * 4},
        {"x": [0, 1, -1] * 4},
        {"x": [0, 1]},
        {"x": [0.5] * 12},
        {"x": [True] * 12},
        {"x": [2**63] * 12},
        {"x": "0101"},
        {"x": None},
        {"alphabet": 1},
        {"alphabet": 257},
        {"alphabet": 2**70},
        {"others": [[0, 1]]},
        {"others": [0, 1]},
        {"extra": 1},
    ],
)
def test_what_cannot_be_scored_is_refused(change):
    with pytest.raises(BadInput):
        pair_score("correlated-agreement", json.dumps(pair() | change).encode())


@pytest.mark.parametrize("raw", [b"[]", b"{", b"null", b"\xff", b"[" * 100_000, b'{"x": NaN}'])
def test_what_is_no_such_object_is_refused(raw):
    with pytest.raises(BadInput):
        pair_score("dasgupta-ghosh", raw)


@pytest.mark.parametrize("column", [{"z": [0]}, {"z": [0.5] * 12}, {"margin": None}])
def test_a_view_that_does_not_fit_is_refused(column):
    with pytest.raises(BadInput):
        pair_score("matched-blocks", json.dumps(pair() | column).encode())
