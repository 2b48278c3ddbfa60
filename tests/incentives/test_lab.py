"""The experiment as a whole: rows, cache, determinism, the command."""

import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fl_client.cli import app
from fl_client.errors import BadInput
from fl_client.incentives import lab, output
from fl_client.incentives.cache import Cache
from fl_client.incentives.evaluate import Stage
from fl_client.incentives.statistics import JOB

KEYS = {
    "attack", "mechanism", "rule", "round", "split", "clients", "tasks", "repetitions",
    "p_cross", "p_paired", "pay_ratio", "honest_pay",
}  # fmt: skip
PLAN = lab.Plan(
    schemes=lab.schemes([], []),
    attacks=["random", "copy-global", "exact-copies"],
    problems=["synthetic-5"],
    splits=["iid", ".5"],
    seeds=1,
    rounds=2,
    tasks=200,
    places=1,
    contributions=0,
)


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def findings(cached: Path) -> lab.Findings:
    return lab.run(PLAN, cached, jobs=2)


def test_every_attack_has_a_row_a_round_and_one_for_the_job(findings: lab.Findings) -> None:
    assert len(findings.rows) == 5 * 3 * 2 * 3
    assert {row.round for row in findings.rows} == {1, 2, JOB}
    for row in json.loads(output.rows_json(findings)):
        assert set(row) >= KEYS
        assert 0 <= row["p_cross"] <= 1
        assert 0 <= row["p_paired"] <= 1


def test_what_is_cached_is_not_played_again_and_reads_the_same(
    findings: lab.Findings, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stage, "__init__", lambda *_: pytest.fail("played again"))
    played = [lab.play(PLAN, setting, cached) for setting in PLAN.settings()]
    assert lab.summarise(PLAN, played) == findings


def test_without_a_cache_the_same_comes_out(findings: lab.Findings, tmp_path: Path) -> None:
    setting = PLAN.settings()[0]
    again = lab.play(PLAN, setting, tmp_path)
    rows = lab.summarise(msgspec.structs.replace(PLAN, splits=["iid"]), [again]).rows
    assert rows == [row for row in findings.rows if row.split == "iid"]


def test_a_damaged_file_of_the_cache_is_made_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = cache.path("x", 1)
    tmp_path.mkdir(exist_ok=True)
    path.write_bytes(b'{"mechanism": "pap')
    kept = cache.keep(path, lambda: lab.Scheme("paper", "conditional"), lab.Scheme)
    assert cache.get(path, lab.Scheme) == kept
    assert cache.path("x", 2) != path


def test_files_and_tables(findings: lab.Findings, tmp_path: Path) -> None:
    files = output.write(findings, tmp_path)
    assert {file.name for file in files} == {
        "incentives.json", "rows.json", "tables.txt", "synthetic-5.png",
    }  # fmt: skip
    assert files[-1].stat().st_size > 20_000
    assert msgspec.json.decode(files[0].read_bytes(), type=lab.Findings) == findings
    console = Console(width=100, record=True)
    output.show(findings, console)
    text = console.export_text()
    for wanted in ("copy-global", "qualify-", "MB", "What the honest earn", "Warning: paper with"):
        assert wanted in text


def test_rules_that_a_mechanism_cannot_use_are_left_out() -> None:
    assert [str(s) for s in lab.schemes([], ["matched-blocks"])] == [
        "per-round/matched-blocks",
        "paper/matched-blocks",
    ]
    with pytest.raises(BadInput, match="can use the rule"):
        lab.schemes(["qualify-and-vest"], ["matched-blocks"])
    with pytest.raises(BadInput, match="no mechanism"):
        lab.schemes(["nonsense"], [])


@pytest.mark.parametrize(
    "change",
    [
        {"attacks": ["nonsense"]},
        {"splits": ["7"]},
        {"trainer": "torch"},
        {"problems": ["a.b:C"]},
        {"size": 6},
    ],
)
def test_what_names_nothing_is_refused_before_anything_is_played(change: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        lab.check(msgspec.structs.replace(PLAN, **change))


def test_the_command_prints_rows_as_json(tmp_path: Path, cached: Path) -> None:
    arguments = ["incentives", "--problem", "synthetic-2", "--split", "iid", "--attack", "constant"]
    arguments += ["--mechanism", "qualify-and-vest", "--seeds", "1", "--rounds", "1", "--tasks", "100"]
    arguments += ["--jobs", "1", "--json", "--out", str(tmp_path), "--cache", str(cached)]
    result = CliRunner().invoke(app.app, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["attack"], row["round"]) for row in rows] == [("constant", 1), ("constant", JOB)]
    assert rows[0]["pay_ratio"] == 0


def test_the_documentation_names_every_attack() -> None:
    text = (Path(__file__).parents[2] / "docs/incentives.md").read_text()
    assert [name for name in lab.ALL_ATTACKS if name not in text] == []
