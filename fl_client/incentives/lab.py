"""The experiment: many worlds in parallel, everything cached, so that what was interrupted goes on."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import itertools
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec

from chaincode.mechanisms import MECHANISMS
from chaincode.mtpp import RULES
from fl_client.errors import BadInput, CandorError
from fl_client.incentives import statistics
from fl_client.incentives.attackers import ATTACKERS, attacker
from fl_client.incentives.cache import Cache
from fl_client.incentives.evaluate import POOLED, Attack, Contribution, Honest, Scheme, Stage
from fl_client.incentives.statistics import Fairness, MeasureRow, Row
from fl_client.incentives.world import PROBLEMS, SPLITS, Setting, World, build, takes

DEFAULT_RULES = {
    "qualify-and-vest": ("dasgupta-ghosh",),
    "qualify-and-vest-floor": ("dasgupta-ghosh",),
    "qualify-and-vest-sharp": ("dasgupta-ghosh",),
    "per-round": ("dasgupta-ghosh", "matched-blocks"),
    "paper": ("correlated-agreement", "dasgupta-ghosh"),
}
PLAYED = ("qualify-and-vest", "per-round", "paper")  # unless a mechanism is named
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PR_SET_PDEATHSIG = 1

Report = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """What to play. `size`: members of a coalition; 0 stands for ⌊(n − 1)/2⌋. `places`: how many clients of a world
    each attacker replaces in turn. `contributions`: worlds of each kind in which the costly measures are taken."""

    schemes: list[Scheme]
    attacks: list[str]
    problems: list[str] = msgspec.field(default_factory=lambda: ["digits"])
    splits: list[str] = msgspec.field(default_factory=lambda: ["iid", ".1"])
    seeds: int = 4
    first_seed: int = 1
    clients: int = 6
    tasks: int = 500
    rounds: int = 5
    size: int = 0
    places: int = 2
    contributions: int = 2
    trainer: str = ""  # numpy where the problem is bundled, otherwise keras

    def settings(self) -> list[Setting]:
        """Every world."""
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        return [
            Setting(
                problem,
                split,
                self.clients,
                self.tasks,
                self.rounds,
                seed,
                self.trainer or ("numpy" if problem in PROBLEMS else "keras"),
            )
            for problem, split, seed in itertools.product(self.problems, self.splits, seeds)
        ]

    @property
    def coalition(self) -> int:
        """Members of a coalition."""
        return self.size or max(2, (self.clients - 1) // 2)


class Played(msgspec.Struct, frozen=True):
    """One world."""

    setting: Setting
    honest: Honest
    attacks: dict[str, list[Attack]]
    contribution: Contribution | None = None


class Findings(msgspec.Struct, frozen=True):
    """All that an experiment found."""

    plan: Plan
    rows: list[Row]
    fairness: list[Fairness]
    measures: list[MeasureRow]


def schemes(mechanisms: Sequence[str], rules: Sequence[str]) -> list[Scheme]:
    """Every allowed combination; without rules each mechanism's usual ones. BadInput: an unknown name."""
    pooled = [name + POOLED for name, mechanism in MECHANISMS.items() if mechanism.vests]
    for kind, names, known in (
        ("mechanism", mechanisms, [*MECHANISMS, *pooled]),
        ("rule", rules, list(RULES)),
    ):
        if missing := set(names) - set(known):
            raise BadInput(f"no {kind} is called {min(missing)!r}", f"Known: {', '.join(sorted(known))}")
    found = []
    for mechanism in mechanisms or PLAYED:
        for rule in rules or DEFAULT_RULES[mechanism.removesuffix(POOLED)]:
            with contextlib.suppress(ValueError):
                scheme = Scheme(mechanism, rule)
                scheme.plays.check(RULES[rule], 0)
                found.append(scheme)
    if not found:
        raise BadInput(f"no mechanism of {', '.join(mechanisms)} can use the rule {', '.join(rules)}")
    return found


def check(plan: Plan) -> None:
    """BadInput: what names nothing, or cannot be played, before hours are spent on the rest."""
    for name in plan.attacks:
        attacker(name)
    if plan.coalition >= plan.clients:
        raise BadInput(
            f"a coalition of {plan.coalition} leaves none honest of {plan.clients}", "Use --coalition"
        )
    for split in set(plan.splits) - set(SPLITS):
        raise BadInput(f"no split is called {split!r}", f"Known: {', '.join(SPLITS)}")
    if plan.trainer not in ("", "numpy", "keras"):
        raise BadInput(f"no trainer is called {plan.trainer!r}", "Known: numpy, keras")
    for name in plan.problems:
        problem = build(name)
        _check_problem(plan, name, len(problem.public()))
        if plan.trainer == "numpy" and name not in PROBLEMS:
            raise BadInput(f"{name} has a model of its own, which only Keras trains", "Use --trainer keras")
        for scheme in plan.schemes:
            try:
                RULES[scheme.rule].check(plan.tasks, problem.alphabet)
            except ValueError as fault:
                raise BadInput(f"{scheme.rule} cannot score {name}: {fault}") from None


def _check_problem(plan: Plan, name: str, items: int) -> None:
    if plan.tasks > items:
        raise BadInput(f"{name} has {items} public items, too few for {plan.tasks} tasks", "Use --tasks")
    if len(plan.splits) > 1 and "kind" not in takes(name):
        raise BadInput(
            f"{name} shares its data out in one way only",
            "Name one --split for it, or let it take kind and alpha (docs/incentives.md)",
        )


def play(plan: Plan, setting: Setting, cached: Path) -> Played:
    """One world: from the cache what is there, the rest anew. BadInput: somebody's own class fails in it."""
    cache, keys = Cache(cached), [str(scheme) for scheme in plan.schemes]
    stage: list[Stage] = []

    def staged() -> Stage:
        if not stage:
            stage.append(Stage(World(setting), plan.schemes))
        return stage[0]

    with _own(setting.problem):
        honest = cache.keep(
            cache.path("honest", setting, keys, code=setting.problem), lambda: staged().honest(), Honest
        )
    attacks: dict[str, list[Attack]] = {}
    step = max(1, plan.clients // plan.places)
    for name in plan.attacks:
        for i in range(plan.places):
            place = (setting.seed + i * step) % plan.clients
            path = cache.path(name, place, plan.coalition, setting, keys, setting.problem, code=name)
            make = functools.partial(_attack, staged, name, place, plan.coalition)
            with _own(name, setting.problem):
                made = cache.keep(path, make, Attack)
            attacks.setdefault(name, []).append(made)
    contribution = None
    if setting.seed - plan.first_seed < plan.contributions:
        path = cache.path("contribution", setting, keys, code=setting.problem)
        with _own(setting.problem):
            contribution = cache.keep(path, lambda: staged().contribution(), Contribution)
    return Played(setting, honest, attacks, contribution)


@contextlib.contextmanager
def _own(*names: str) -> Iterator[None]:
    """What a class of somebody's own raises becomes BadInput with its place; without one, a defect stays a defect."""
    try:
        yield
    except CandorError:
        raise
    except Exception as fault:
        own = [name for name in names if ":" in name]
        if not own:
            raise
        files = {importlib.import_module(name.partition(":")[0]).__file__ for name in own}
        frames = traceback.extract_tb(fault.__traceback__)
        at = next((frame for frame in reversed(frames) if frame.filename in files), frames[-1])
        said = f"{type(fault).__name__}: {next(iter(str(fault).splitlines()), '')}"
        raise BadInput(f"{own[0]} cannot be played: {said} ({at.filename}, line {at.lineno})") from fault


def _attack(staged: Callable[[], Stage], name: str, place: int, size: int) -> Attack:
    return staged().attack(name, place, size)


def run(plan: Plan, cached: Path, jobs: int = 0, report: Report = lambda text: None) -> Findings:
    """Play the plan in ``jobs`` processes (0: one a core)."""
    check(plan)
    settings = plan.settings()
    played: list[Played] = []
    with _pool(min(jobs or len(os.sched_getaffinity(0)), len(settings))) as pool:
        futures = [pool.submit(play, plan, setting, cached) for setting in settings]
        for done in as_completed(futures):
            played.append(done.result())
            setting = played[-1].setting
            report(
                f"{len(played)} of {len(settings)} worlds: {setting.problem}, split {setting.split}, "
                f"seed {setting.seed}"
            )
    played.sort(key=lambda each: settings.index(each.setting))
    return summarise(plan, played)


def summarise(plan: Plan, played: Sequence[Played]) -> Findings:
    """Rows of everything, problem by problem and split by split."""
    rows: list[Row] = []
    fair: list[Fairness] = []
    measures: list[MeasureRow] = []
    for problem, split in itertools.product(plan.problems, plan.splits):
        worlds = [p for p in played if (p.setting.problem, p.setting.split) == (problem, split)]
        for scheme in plan.schemes:
            fair.append(statistics.fairness(scheme, [(p.setting, p.honest, p.contribution) for p in worlds]))
            for name in plan.attacks:
                pairs = [(p.setting, p.honest, attack) for p in worlds for attack in p.attacks[name]]
                rows += statistics.rows(scheme, name, pairs)
        measures += statistics.measure_rows(
            [(p.setting, p.contribution) for p in worlds if p.contribution],
            {name: [a for p in worlds for a in p.attacks[name]] for name in plan.attacks},
        )
    return Findings(plan, rows, fair, measures)


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each, which end with this one, or at once when something goes wrong here."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read when the children load NumPy
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


ALL_ATTACKS = list(ATTACKERS)
