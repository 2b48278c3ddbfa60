"""`candor score`: the very function that settles, from a pipe."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from chaincode.mtpp import RULES, View
from chaincode.mtpp.duplicates import ONE
from fl_client.cli.score import Duplicates, Score, scored
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
    found = scored(name, json.dumps(given).encode())
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
        {"x": [1.0] * 12},
        {"x": [], "y": [], "others": []},
        {"alphabet": 3.0},
        {"alphabet": True},
        {"alphabet": "3"},
    ],
)
def test_what_cannot_be_scored_is_refused(change):
    with pytest.raises(BadInput):
        scored("correlated-agreement", json.dumps(pair() | change).encode())


@pytest.mark.parametrize("rule", ["dasgupta-ghosh", "near-duplicates"])
@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "there is nothing"),
        (b" \n", "there is nothing"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{", "truncated"),
        (b"null", "Expected `object`, got `null`"),
        (b"\xff", "malformed"),
        (b"[" * 100_000, ""),
        (b'{"x": ' + b"[" * 100_000, ""),
        (b'{"x": NaN}', "malformed"),
        (b'{"y": [0, 1], "alphabet": 2}', "missing required field `x`"),
        (b'{"x": [0, 1], "y": [0, 1], "alphabet": 2, "alphabet": 3}', "a key is named twice"),
        (b'{"x": [0, 1], "y": [0, 1], "alphabet": 2} {}', "trailing"),
        (b'{"x": [0, 9223372036854775808], "y": [0, 1], "alphabet": 2}', "below 2^63"),
        (b'{"x": [0, 2], "y": [0, 1], "alphabet": 2}', "a symbol is outside [0, 2)"),
        (b'{"x": [0, 1], "y": [0], "alphabet": 2}', "of different lengths"),
        (b'{"x": [0, 1], "y": [0, 1], "alphabet": 257}', "257 is not in [2, 256]"),
        (b'{"x": [0, 0], "y": [0, 0], "alphabet": 1}', "1 is not in [2, 256]"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(rule, raw, said):
    with pytest.raises(BadInput) as caught:
        scored(rule, raw)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "column",
    [
        {"z": [0]},
        {"z": [0.5] * 12},
        {"margin": None},
        {"margin": [2**63] * 12},
        {"z": [3] * 12},
        {"z2": [-1] * 12},
    ],
)
def test_a_view_that_does_not_fit_is_refused(column):
    with pytest.raises(BadInput):
        scored("matched-blocks", json.dumps(pair() | column).encode())


def test_input_beyond_the_limit_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr("fl_client.cli.score.LIMIT", 100)
    with pytest.raises(BadInput, match="larger than 100 bytes"):
        scored("dasgupta-ghosh", json.dumps(pair()).encode())


def test_near_duplicates_among_many_are_named_by_their_places():
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 5, 400)
    reports = np.where(draw.random((7, 400)) < 0.8, truth, draw.integers(0, 5, (7, 400)))
    reports[5] = reports[2]
    reports[6] = np.where(draw.random(400) < 0.4, draw.integers(0, 5, 400), reports[0])
    done = command("near-duplicates", json.dumps({"reports": reports.tolist(), "alphabet": 5}))
    assert (done.returncode, done.stderr) == (0, "")
    found = msgspec.json.decode(done.stdout, type=Duplicates)
    assert found.groups.likeness == [(2, 5)]
    assert found.groups.overlap == [(0, 6), (2, 5)]  # a copy with noise hides from the first measure alone
    assert found.norm == ONE
    assert found.likeness[2][5] == found.likeness[5][2] == found.overlap[2][5] == ONE
    assert found.likeness[2][2] == 0


def test_the_likeness_of_one_pair_is_that_of_the_worked_example():
    rows = [
        [int(digit) for digit in text] for text in ("0110220102", "0110220112", "0120210112", "0120210110")
    ]
    given = {"x": rows[0], "y": rows[1], "alphabet": 3, "others": rows[2:]}
    assert scored("near-duplicates", json.dumps(given).encode()) == Score(879257, ONE)


@pytest.mark.parametrize(
    "given",
    [
        {"reports": [[0, 1], [0]], "alphabet": 2},
        {"reports": [[0, 1], [0, 2]], "alphabet": 2},
        {"reports": [[0, 1]] * 1025, "alphabet": 2},
        {"reports": [[0, 1]], "alphabet": 300},
        {"reports": [[0, 1]], "alphabet": 2, "x": [0, 1]},
        {"reports": 1, "alphabet": 2},
    ],
)
def test_reports_that_cannot_be_compared_are_refused(given):
    with pytest.raises(BadInput):
        scored("near-duplicates", json.dumps(given).encode())


@pytest.mark.parametrize("reports", [[], [[]], [[], []], [[0, 1]]])
def test_with_nobody_to_compare_nobody_is_alike(reports):
    found = scored("near-duplicates", json.dumps({"reports": reports, "alphabet": 2}).encode())
    assert found.groups.likeness == found.groups.overlap == []
