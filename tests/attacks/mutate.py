"""Which guards would nobody miss? Takes them out one at a time, in a copy, and runs the tests that reach them.

A guard is a `raise` of a contract. One run of the tests of contracts and attacks on a copy whose guards say when
they refuse tells which tests reach which guard; one that no test reaches has survived already. Every other guard is
replaced by `pass` in a copy of its own, and the tests that reached it run there: if all of them pass, no test misses
it. (Tests that do not reach a guard cannot tell whether it is there.) Not part of the test run:

    python -m tests.attacks.mutate [--jobs 2] [--only FILE-PART] [--seconds 3600]
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
CONTRACTS = Path("chaincode/contracts")
PARTS = ("benchmarks", "chaincode", "docs", "fl_client", "tests")
SUITE = ("tests/contracts", "tests/attacks", "--ignore=tests/attacks/test_keys.py")  # no guard is in keys.py
QUICK = {"CANDOR_FUZZ_CALLS": "2000", "CANDOR_STATEFUL_EXAMPLES": "5"}
BY_CHANCE = ("test_fuzz.py", "test_stateful.py")  # last, and only where nothing else reaches a guard
RECORDER = """
import os
def hit(number):
    with open(os.environ["GUARD_HITS"], "a") as file:
        file.write(f"{number} {os.environ.get('PYTEST_CURRENT_TEST', '').partition('[')[0].partition(' ')[0]}\\n")
"""


class Guard(NamedTuple):
    """A raise: lines `first` to `last` (from 1) of a file."""

    file: Path
    first: int
    last: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.first}: {' '.join(self.text.split())[:100]}"


def guards(root: Path) -> Iterator[Guard]:
    """Every raise of the contracts that refuses something; not those that pass a fault on with more words."""
    for path in sorted((root / CONTRACTS).rglob("*.py")):
        source = path.read_text()
        tree = ast.parse(source)
        handlers = [each for each in ast.walk(tree) if isinstance(each, ast.ExceptHandler)]
        passed_on = {child for each in handlers for child in ast.walk(each)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and node not in passed_on:
                text, last = ast.get_source_segment(source, node) or "", node.end_lineno or node.lineno
                yield Guard(path.relative_to(root), node.lineno, last, node.col_offset, text)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of what the tests need."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as made:
        for part in PARTS:
            if (ROOT / part).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "network", "conformance")
                shutil.copytree(ROOT / part, Path(made) / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", made)
        yield Path(made)


def replace(copy: Path, guard: Guard, lines: Sequence[str]) -> None:
    """Put these lines where the guard was."""
    path = copy / guard.file
    source = path.read_text().splitlines(keepends=True)
    source[guard.first - 1 : guard.last] = [f"{' ' * guard.column}{line}\n" for line in lines]
    path.write_text("".join(source))


def run(copy: Path, tests: Sequence[str]) -> str:
    """The first failure of these tests, "" if there is none."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout",
        "240",
        *tests,
    ]
    environment = os.environ | QUICK | {"PYTHONPATH": str(copy), "GUARD_HITS": str(copy / "hits")}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    failed = re.search(r"^(?:FAILED|ERROR) (?:\S+/)?(\S+)", done.stdout, re.MULTILINE)
    return "" if done.returncode == 0 else failed[1] if failed else done.stdout[-300:]


def reached(chosen: Sequence[Guard]) -> dict[Guard, list[str]]:
    """Which tests reach which guard, from one run of everything."""
    with copied() as copy:
        (copy / "guard_hits.py").write_text(RECORDER)
        for number, guard in sorted(enumerate(chosen), key=lambda each: (each[1].file, -each[1].first)):
            shift = [f"import guard_hits; guard_hits.hit({number})", *_dedented(guard)]
            replace(copy, guard, shift)
        if fault := run(copy, SUITE):
            raise SystemExit(f"with all guards in place {fault} fails: nothing can be said of mutants")
        hits = {line for line in (copy / "hits").read_text().splitlines() if not line.endswith(" ")}
    tests: dict[Guard, list[str]] = {guard: [] for guard in chosen}
    for number, test in sorted(line.split(" ", 1) for line in hits):
        tests[chosen[int(number)]].append(test)
    return {
        guard: sorted(found, key=lambda test: any(c in test for c in BY_CHANCE))
        for guard, found in tests.items()
    }


def _dedented(guard: Guard) -> list[str]:
    lines = guard.text.splitlines()
    return [lines[0], *(line[guard.column :] for line in lines[1:])]


def killer(guard: Guard, tests: Sequence[str]) -> str:
    """The test that fails without the guard; "" if all that reach it pass."""
    certain = [test for test in tests if not any(each in test for each in BY_CHANCE)]
    if not tests:
        return ""
    with copied() as copy:
        replace(copy, guard, ["pass"])
        return run(copy, certain or tests)


def main() -> None:
    """Print every guard with the test that misses it, then the figure."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--only", default="")
    options.add_argument("--seconds", type=float, default=3600)
    given = options.parse_args()
    chosen = [guard for guard in guards(ROOT) if given.only in str(guard.file)]
    tests = reached(chosen)
    end, tried, survivors = time.monotonic() + given.seconds, 0, 0

    def judge(guard: Guard) -> str | None:
        return None if time.monotonic() > end else killer(guard, tests[guard])

    with ThreadPoolExecutor(given.jobs) as pool:
        for guard, fault in zip(chosen, pool.map(judge, chosen), strict=True):
            if fault is not None:
                tried, survivors = tried + 1, survivors + (not fault)
                verdict = f"killed by {fault}" if fault else f"SURVIVED {len(tests[guard])} tests"
                print(f"{guard}\n    {verdict}", flush=True)
    print(f"{survivors} of {tried} guards tried survived ({len(chosen)} chosen)")


if __name__ == "__main__":
    main()
