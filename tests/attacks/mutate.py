"""Which guards would nobody miss? Removes them one at a time in a copy and runs the tests of contracts and attacks.

A guard is a `raise` of a contract. Its mutant has `pass` in that place; a mutant on which all tests pass is a
survivor: a guard that no test tries. Not part of the test run:

    python -m tests.attacks.mutate [--jobs 2] [--sample N] [--only FILE-PART] [--seconds 900]
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
CONTRACTS = Path("chaincode/contracts")
SUITE = ("tests/contracts", "tests/attacks", "--ignore=tests/attacks/test_keys.py")  # no guard is in keys.py
QUICK = {"CANDOR_FUZZ_CALLS": "2000", "CANDOR_STATEFUL_EXAMPLES": "5"}


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
        passed_on = {
            child
            for each in ast.walk(tree)
            if isinstance(each, ast.ExceptHandler)
            for child in ast.walk(each)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and node not in passed_on:
                text = ast.get_source_segment(source, node) or ""
                yield Guard(
                    path.relative_to(root), node.lineno, node.end_lineno or node.lineno, node.col_offset, text
                )


def mutate(copy: Path, guard: Guard) -> None:
    """Take the guard out of the copy."""
    path = copy / guard.file
    lines = path.read_text().splitlines(keepends=True)
    lines[guard.first - 1 : guard.last] = [" " * guard.column + "pass\n"]
    path.write_text("".join(lines))


def survives(guard: Guard) -> bool:
    """Whether all tests pass without it; a test run that ends in any other way has noticed."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as made:
        copy = Path(made)
        for part in ("chaincode", "fl_client", "tests"):
            ignored = shutil.ignore_patterns("__pycache__", "network", "conformance")
            shutil.copytree(ROOT / part, copy / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        mutate(copy, guard)
        return run(copy, SUITE if "aggregation" in str(guard.file) else SUITE[::-1]) == 0


def run(copy: Path, suite: Sequence[str]) -> int:
    """The suite's exit code."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout",
        "120",
        *SUITE,
    ]
    finished = subprocess.run(
        command,
        cwd=copy,
        env=os.environ | QUICK | {"PYTHONPATH": str(copy)},
        capture_output=True,
        check=False,
    )
    return finished.returncode


def main() -> None:
    """Print survivors as they are found, then the figure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--sample", type=int, default=0)
    options.add_argument("--only", default="")
    options.add_argument("--seconds", type=float, default=3600)
    given = options.parse_args()
    chosen = [guard for guard in guards(ROOT) if given.only in str(guard.file)]
    random.Random(4).shuffle(chosen)  # noqa: S311 - the same order every time
    chosen = chosen[: given.sample or None]
    end, tried, survivors = time.monotonic() + given.seconds, 0, 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for guard, alive in zip(
            chosen, pool.map(lambda g: None if time.monotonic() > end else survives(g), chosen), strict=True
        ):
            tried += alive is not None
            survivors += alive is True
            if alive is not None:
                print(f"{'SURVIVED' if alive else 'killed  '} {guard}", flush=True)
    print(f"{survivors} of {tried} guards tried survived ({len(chosen)} chosen)")


if __name__ == "__main__":
    main()
