"""Which guards would nobody miss? Takes them out one at a time and runs the tests that reach them.

What is taken out: tests/attacks/mutants.py. The tests of contracts, attacks and pure modules are collected once. A
first run, in a process of its own, notes which test reaches which line. Then each mutant gets a process of its own,
forked from the one that has collected: it puts the mutated code under the functions that are there already, and
runs the tests that reached the line, first those that refused something there and are quick, until one fails. If
none fails, nobody misses what was taken out. (A mutant outside any function is written into a copy of the code,
and all tests run there.) Chance is left out: neither the fuzzer nor the state machine takes part. Not part of the
test run:

    python -m tests.attacks.mutate [--only FILE-PART] [--line N] [--kinds if raise …] [--most TESTS] [--seconds 3600]
    python -m tests.attacks.mutate --of fl_client/aggregator.py --by tests/contracts tests/unit/test_two_layer.py
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import pytest

from tests.attacks.mutants import Mutant, mutants

ROOT = Path(__file__).parent.parent.parent
CODE = ("chaincode/contracts", "chaincode/mtpp", "chaincode/mechanisms")
UNIT = [
    *(
        "beacon",
        "cid",
        "commitment",
        "committees",
        "direction",
        "draw",
        "encoding",
        "lightcheck",
        "mechanism_paper",
        "report",
    ),
    *(
        "mtpp_duplicates",
        "mtpp_payment",
        "mtpp_rules",
        "mtpp_vectors",
        "pure_bounds",
        "scores_by_hand",
        "view",
    ),
]
SUITE = ["tests/attacks", "tests/contracts", "tests/incentives/test_mechanisms.py"]
SUITE += [f"tests/unit/test_{each}.py" for each in UNIT]
FIRST = [
    "tests/contracts/test_jobs.py",
    "tests/attacks/test_specs.py",
    "tests/attacks/test_money.py",
]  # of limits
LEFT_OUT = ["test_fuzz.py", "test_stateful.py", "test_score_command.py::test_the_command", "_machine_paths"]
LIMIT = 240  # seconds for the tests of one mutant; what takes longer has lost its way, and is noticed


class Reached(NamedTuple):
    """What a run of everything shows: each test's seconds, and for each "file:line" the places of its tests."""

    names: list[str]
    seconds: list[float]
    lines: dict[str, list[int]]


def files() -> Iterator[Path]:
    """What is mutated."""
    for folder in CODE:
        yield from sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))
    yield from sorted(path.relative_to(ROOT) for path in (ROOT / "chaincode").glob("*.py"))


class Judge:
    """A pytest plugin: instead of running what was collected once, runs it again and again under mutants."""

    def __init__(self, chosen: Sequence[Mutant], seconds: float, most: int, out: int) -> None:
        self.chosen, self.end, self.most, self.out = chosen, time.monotonic() + seconds, most, out
        self.tried = self.survived = 0
        self.functions: dict[tuple[str, str], list[FunctionType]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge every mutant while there is time."""
        self.items = {item.nodeid: item for item in session.items}
        self.say(f"{len(self.chosen)} mutants, {len(self.items)} tests")
        for function in gc.get_objects():
            if isinstance(function, FunctionType):
                code = function.__code__
                self.functions.setdefault((code.co_filename, code.co_qualname), []).append(function)
        recorded = self.in_a_child(self._recorded, LIMIT * 10)
        if not isinstance(recorded, list):
            self.say(recorded)
            return True
        reached = Reached(*recorded)
        gc.freeze()  # nothing of all this will be looked at again, by any child
        for mutant in self.chosen:
            if time.monotonic() > self.end:
                break
            tests = ranked(mutant, reached) if mutant.function else list(self.items)
            killer = self._killer(mutant, tests[: self.most])
            self.tried, self.survived = self.tried + 1, self.survived + (not killer)
            of = f"{min(len(tests), self.most)} of {len(tests)} tests"
            verdict = f"killed by {killer}" if killer else f"SURVIVED {of}"
            self.say(f"{mutant}\n    {verdict}")
        self.say(f"{self.survived} of {self.tried} mutants tried survived ({len(self.chosen)} chosen)")
        return True

    def say(self, text: str) -> None:
        os.write(self.out, (text + "\n").encode())

    def in_a_child(self, work: Any, seconds: float) -> Any:
        """What `work` returns in a process of its own; "" + why if it ends in another way."""
        read, write = os.pipe()
        if not (child := os.fork()):
            os.close(read)
            os.setpgid(0, 0)
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            try:
                answer = work()
            except BaseException as fault:
                answer = f"{type(fault).__name__}: {fault}"
            with os.fdopen(write, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(write)
        timer = signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
        signal.alarm(int(seconds))
        with os.fdopen(read) as pipe:
            said = pipe.read()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, timer)
        os.waitpid(child, 0)
        return json.loads(said) if said else f"no end within {seconds} s"

    def _killer(self, mutant: Mutant, tests: Sequence[str]) -> str:
        if not tests:
            return ""
        if not mutant.function:
            return in_a_copy(mutant)

        def work() -> str:
            if not self._swap(mutant.file, mutant.tree(), mutant.function):
                raise LookupError(f"no function of {mutant.file} is {mutant.function}")
            return self._first_failure(tests)

        found: str = self.in_a_child(work, LIMIT)
        return found

    def _run(self, name: str, following: str | None) -> bool:
        """Whether a test passes."""
        item = self.items[name]
        before = item.session.testsfailed
        nextitem = self.items[following] if following else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return item.session.testsfailed == before

    def _first_failure(self, tests: Sequence[str]) -> str:
        for name, following in zip(tests, [*tests[1:], None], strict=True):
            if not self._run(name, following):
                return name
        return ""

    def _recorded(self) -> Reached:
        """Every test once, with all in place; which lines it reaches."""
        lines: set[str] = set()
        builtins.__reached__ = lines.add  # type: ignore[attr-defined]
        for file in sorted({mutant.file for mutant in self.chosen}):
            self._swap(file, Marker(file).visit(ast.parse((ROOT / file).read_text())))
        names = list(self.items)
        reached = Reached(names, [], {})
        for name, following in zip(names, [*names[1:], None], strict=True):
            lines.clear()
            begun = time.monotonic()
            if not self._run(name, following):
                raise SystemExit(f"with all in place {name} fails: nothing can be said of mutants")
            for line in lines:
                reached.lines.setdefault(line, []).append(len(reached.seconds))
            reached.seconds.append(time.monotonic() - begun)
        return reached

    def _swap(self, file: Path, tree: ast.AST, only: str = "") -> int:
        """Put the tree's code under the file's functions, or under one of them; how many there were."""
        assert isinstance(tree, ast.Module)
        path = str(ROOT / file)
        swapped = 0
        for name, code in codes(compile(tree, path, "exec")):
            for function in self.functions.get((path, name), []) if only in ("", name) else ():
                function.__code__ = code
                swapped += 1
        return swapped


class Marker(ast.NodeTransformer):
    """Says before each statement of a function that it is reached."""

    def __init__(self, file: Path) -> None:
        self.file, self.depth = file, 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        self.depth += inside
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody") if self.depth else ():
            body = getattr(node, field, None)
            if isinstance(body, list):
                setattr(node, field, [each for one in body for each in (*self._marks(one), one)])
        self.depth -= inside
        return ast.fix_missing_locations(node)

    def _marks(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return  # a docstring stays the first
        for line in range(statement.lineno, _head_end(statement) + 1):
            mark = ast.parse(f"__reached__({f'{self.file}:{line}'!r})").body[0]
            yield ast.copy_location(mark, statement)


def _head_end(statement: ast.stmt) -> int:
    """The last line before a statement's own statements."""
    inner = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if not inner:
        return statement.end_lineno or statement.lineno
    first = inner[0].pattern if isinstance(inner[0], ast.match_case) else inner[0]
    return max(statement.lineno, first.lineno - 1)


def ranked(mutant: Mutant, reached: Reached) -> list[str]:
    """The tests that reached the mutant's line: those that were refused there first, then the quick ones."""
    following = getattr(mutant.edit.shown, "end_lineno", mutant.line) + 1
    found = reached.lines.get(f"{mutant.file}:{mutant.line}", [])
    refused = set(reached.lines.get(f"{mutant.file}:{following}", []))  # most guards refuse on the next line,
    if mutant.edit.kind in ("check", "weaker"):
        refused = set(found) - refused  # a call before it
    order = sorted(found, key=lambda test: (test not in refused, reached.seconds[test]))
    return [reached.names[test] for test in order]


def codes(module: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Functions by qualified name, those inside of functions left out."""
    for each in module.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & 2:  # a function's own locals: not a class body
                yield each.co_qualname, each
            else:
                yield from codes(each)


def in_a_copy(mutant: Mutant) -> str:
    """The first test that fails where the mutated file is imported from; "" if none does."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as made:
        for part in ("benchmarks", "chaincode", "docs", "fl_client", "network", "tests"):
            shutil.copytree(ROOT / part, Path(made) / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", made)
        (Path(made) / mutant.file).write_text(ast.unparse(mutant.tree()))
        command = [sys.executable, "-m", "pytest", "-x", "-q", *ARGUMENTS, *FIRST, *SUITE]
        environment = os.environ | {"PYTHONPATH": made}
        done = subprocess.run(command, cwd=made, env=environment, capture_output=True, text=True, check=False)
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed or [done.stdout[-200:]])[0] if done.returncode else ""


ARGUMENTS = ["-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "120"]
for _each in LEFT_OUT:
    ARGUMENTS += ["--ignore-glob", f"*{_each}"] if _each.endswith(".py") else ["--deselect", _each]


def main() -> None:
    """Print every mutant with the test that misses what is gone, then the figure."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", default="", help="of files whose path holds this")
    options.add_argument("--of", nargs="+", type=Path, help="these files instead (from the root)")
    options.add_argument("--by", nargs="+", help="these tests instead")
    options.add_argument("--kinds", nargs="+", help="of these kinds")
    options.add_argument("--line", type=int, help="at this line")
    options.add_argument("--most", type=int, default=10**6, help="tests for one mutant")
    options.add_argument("--seconds", type=float, default=3600)
    given = options.parse_args()
    chosen = [
        mutant
        for file in given.of or files()
        if given.only in str(file)
        for mutant in mutants(ROOT, file)
        if given.line in (None, mutant.line) and mutant.edit.kind in (given.kinds or [mutant.edit.kind])
    ]
    chosen.sort(key=lambda mutant: not mutant.function)  # those that take a copy last
    judge = Judge(chosen, given.seconds, given.most, os.dup(1))
    with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
        code = pytest.main(["-q", *ARGUMENTS, *(given.by or SUITE)], plugins=[judge])
    if not judge.tried:
        raise SystemExit(f"nothing was tried: pytest ended with {code}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
