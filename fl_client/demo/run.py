"""`candor demo`: stage, story, and what is shown at the end."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from fl_client.demo.embedded import EmbeddedStage
from fl_client.demo.scenario import Scenario
from fl_client.demo.stage import Stage
from fl_client.demo.story import Play, Progress
from fl_client.errors import BadInput
from fl_client.results import JobResult
from network.progress import Console

MARK = "demo"  # an empty file: the network beside it is the demo's, and may be made anew


def embedded(scenario: Scenario, progress: Progress) -> JobResult:
    """The demo on the in-process stand-ins."""
    return asyncio.run(_play(EmbeddedStage(scenario), scenario, progress))


def native(scenario: Scenario, directory: Path, progress: Console, *, keep: bool) -> JobResult:
    """The demo on a real network, which is taken down again unless `keep`."""
    from fl_client.demo.native import bring_up

    _make_room(directory)
    stage = bring_up(scenario, directory, progress)
    try:
        result = asyncio.run(_play(stage, scenario, progress))
        if keep:
            stage.network.detach()
            progress(f"the network stays up; end it with: candor network down --directory {directory}")
        return result
    finally:
        if not keep or stage.network.tied:
            progress("taking the network down")
            stage.network.down()


async def _play(stage: Stage, scenario: Scenario, progress: Progress) -> JobResult:
    async with stage:
        return await Play(stage, scenario, progress).run()


def _make_room(directory: Path) -> None:
    """Remove an earlier demo's network that is down; never anybody else's."""
    from network.network import Network

    if not directory.exists() or not any(directory.iterdir()):
        directory.mkdir(parents=True, exist_ok=True)
    elif not _marked(directory):
        raise BadInput(f"{directory} holds something that is not a demo's", "Name another with --directory")
    elif (directory / "network.json").exists() and Network.load(directory).running:
        raise BadInput(f"a demo's network is up in {directory}", "End it first: candor network down")
    else:
        shutil.rmtree(directory)
        directory.mkdir(parents=True)
    (directory / MARK).touch()


def _marked(directory: Path) -> bool:
    """Whether a demo made what is there: its mark alone, or with a network. Others call things `demo`, too."""
    mark, begun = directory / MARK, {MARK, "starting.lock"}
    if not mark.is_file() or mark.stat().st_size:
        return False
    return (directory / "network.json").exists() or {each.name for each in directory.iterdir()} <= begun
