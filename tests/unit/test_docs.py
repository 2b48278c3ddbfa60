"""What the README and docs/ show exists: commands, targets, links, pictures, examples."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from chaincode.contracts import job_terms
from chaincode.records import JobSpec
from fl_client import participant
from fl_client.cli.app import app
from fl_client.contracts import View
from fl_client.demo.embedded import EmbeddedStage
from fl_client.demo.scenario import Scenario
from fl_client.plan import plan
from fl_client.store import DirectoryStore
from network import topology

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[(?:[^\]]|\]\()*?\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def said(program: str) -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every call of a program: lines of a block without a language, and code within a sentence."""
    for page in PAGES:
        blocks = "".join(body for language, body in FENCE.findall(page.read_text()) if not language)
        for line in [*blocks.replace("\\\n", " ").splitlines(), *INLINE.findall(prose(page))]:
            if re.match(rf"{program}\s", line):
                yield name(page), shlex.split(line, comments=True)[1:]


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command those words name (click's, or typer's own copy of it), and what is left of them."""
    command, rest = typer.main.get_command(app), list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    return command, rest


def described() -> list[tuple[str, list[str]]]:
    return list(said("candor"))


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_commands_are_found_at_all() -> None:
    assert {"demo", "network", "client"} <= {words[0] for _, words in described()}


@pytest.mark.parametrize(("page", "words"), described())
def test_a_quoted_command_exists_with_its_options(page: str, words: list[str]) -> None:
    command, rest = resolve(words)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    assert not unknown, f"{page}: candor {' '.join(words)} has no {unknown}"
    assert not (rest and hasattr(command, "commands")), f"{page}: there is no candor {' '.join(words)}"
    path = words[: len(words) - len(rest)]
    assert CliRunner().invoke(app, [*path, "--help"]).exit_code == 0


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    quoted = {words[0] for _, words in said("make") if words}
    assert {"demo", "test"} <= quoted <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_resolve(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in slugs(target), f"{name(page)} links to {link}; there are {sorted(slugs(target))}"


def test_everything_under_docs_is_linked_from_somewhere() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(prose(page))
    }
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "docs"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    files = {ROOT / each for each in listed} or {path for path in DOCS.rglob("*") if path.is_file()}
    lost = sorted(name(path) for path in files if path.exists() and path.resolve() not in linked)
    assert not lost, f"no page links to {lost}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_name_no_place_of_one_machine(page: Path) -> None:
    found = re.findall(r"/(?:home|root|Users|work)/\S*", page.read_text())
    assert not found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_examples_are_python(page: Path) -> None:
    for language, body in FENCE.findall(page.read_text()):
        if language == "python":
            ast.parse(body)


def test_every_test_that_is_named_exists() -> None:
    known = {
        found
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = {word for page in PAGES for word in re.findall(r"`(test_\w+)`", page.read_text())}
    assert named
    assert not named - known


def example(directory: Path, file: str) -> ModuleType:
    """The example of operations.md that is called so."""
    blocks = [body for language, body in FENCE.findall((DOCS / "operations.md").read_text()) if language]
    (found,) = [body for body in blocks if body.startswith(f"# {file}\n")]
    (directory / file).write_text(found)
    return module(directory / file)


def test_the_founding_example_founds_a_consortium(tmp_path: Path) -> None:
    founding = example(tmp_path, "founding.py")

    async def scene() -> int:
        async with EmbeddedStage(Scenario()) as stage:
            admins = {msp_id: stage.admin(msp_id) for msp_id in stage.terms.organisations}
            await founding.found(admins, stage.terms, stage.beacons)
            first = stage.terms.organisations[0]
            return await View(admins[first]).balance(first)

    assert asyncio.run(scene()) == 1_000_000


@pytest.mark.training
def test_the_jobs_example_is_sound_with_what_the_publishing_one_prints(tmp_path: Path) -> None:
    publishing = example(tmp_path, "publish.py")
    share = participant.Share("digits", {"seed": 1, "public_items": 700}, 0, 6)
    published = asyncio.run(publishing.publish(DirectoryStore(tmp_path / "store"), share))
    text = next(body for kind, body in FENCE.findall((DOCS / "operations.md").read_text()) if kind == "json")
    given = json.loads(text)
    spec = msgspec.convert({**given, **published}, type=JobSpec)
    settings = topology.load("three-orgs").chaincode.settings
    terms = msgspec.structs.replace(
        EmbeddedStage(Scenario()).terms, freshness=settings["freshness"], margin=settings["margin"]
    )
    assert list(job_terms.faults(spec, terms)) == []
    assert given["model_bytes"] >= published["model_bytes"] - 1024
    assert {each.field for each in plan(msgspec.convert(given, type=JobSpec)).unsafe} == {"allow_list"}


def test_the_pictures_are_what_their_script_draws() -> None:
    draw = module(DOCS / "pictures" / "draw.py")
    for drawn, picture in (("architecture", draw.architecture()), ("round", draw.timeline())):
        assert (DOCS / "pictures" / f"{drawn}.svg").read_text() == picture.svg()


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
