"""A round's model, computed again from the updates that count."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from chaincode import cid as cids
from chaincode import scoring
from chaincode.records import Phase, Reason, RoundState
from fl_client import aggregator
from fl_client.audit.blocks import Transaction
from fl_client.audit.executor import acting_member
from fl_client.audit.findings import Class, Finding
from fl_client.audit.story import Story
from fl_client.strategies import STRATEGIES


async def check_aggregate(story: Story, number: int, current: RoundState) -> None:
    """The round's result is its start with the valid updates in it; or the start itself, where nobody decided."""
    if not current.phase.over:
        return story.say("aggregate", f"the round is in phase {current.phase}", round=number, ok=None)
    tx = _deciding(story, number)
    _steps(story, number)
    if not current.valid or current.phase is Phase.VOID:
        text = "the round keeps its first model"
        story.check(
            current.result == current.model,
            Class.AGGREGATE,
            "aggregate",
            text,
            tx,
            round=number,
            expected=current.model,
            found=current.result,
        )
        return None
    spec = story.job.spec
    if spec.strategy not in STRATEGIES:  # never import a program because a ledger names it
        text = f"the strategy {spec.strategy!r} is the job's own program: its models are not recomputed"
        return story.say("aggregate", text, tx, round=number, ok=None)
    contents = await _contents(story, number, current, tx)
    model = await story.evidence.content(current.model)
    if model is None:
        _missing(story, number, "the model it began with", current.model, tx)
    if model is None or contents is None:
        return None
    _note_refused(story, number, current, await _verdicts(story, number, model), tx)
    try:
        made = await asyncio.to_thread(aggregator.aggregate, model, contents, spec.strategy)
        own = cids.file_cid(made)
    except ValueError as fault:
        own = str(fault)
    text = f"its model is what {len(contents)} valid updates combine to, {current.result}"
    story.check(
        own == current.result,
        Class.AGGREGATE,
        "aggregate",
        text,
        tx,
        round=number,
        expected=own,
        found=current.result,
    )
    if await story.evidence.content(current.result) is None:
        _missing(story, number, "the model it ended with", current.result, tx)
    return None


def _steps(story: Story, number: int) -> None:
    """The committee's votes, answers and challenges, each as its transaction."""
    for each in story.calls(number):
        if each.name.startswith("Aggregation:"):
            who = acting_member(story.replayed.state, each)
            what = " ".join(arg.decode(errors="replace") for arg in each.args[4:5])
            text = f"{each.name} by {who[:24]} {what[:80]}"
            story.say("committee", text, each, round=number, ok=story.again(each))


def _deciding(story: Story, number: int) -> Transaction | None:
    """The last transaction that moved the round on."""
    key = f"round/{story.job.id}/{number:06d}"
    wrote = (tx for tx in reversed(story.replayed.valid) if key in story.replayed.written.get(tx.tx_id, ()))
    return next(wrote, None)


async def _contents(
    story: Story, number: int, current: RoundState, tx: Transaction | None
) -> dict[str, bytes] | None:
    """The valid updates by member; None when one of them is missing."""
    reveals, found, complete = story.reveals(number), dict[str, bytes](), True
    for member in current.valid:
        name = reveals[member].update if member in reveals else ""
        data = await story.evidence.content(name) if name else None
        if data is None:
            _missing(story, number, f"the valid update of {member}", name, tx)
            complete = False
        else:
            found[member] = data
    return found if complete else None


async def _verdicts(story: Story, number: int, model: bytes) -> dict[str, Reason | None]:
    """Which revealed updates are fit to be combined, by our own judgement; the missing ones left out."""
    updates, known = await _updates(story, number), list[dict[str, bytes]]()
    if scoring.checks_lightly(story.job.spec):
        known = [await _updates(story, number - back) if number > back else {} for back in (1, 2)]
    try:
        found = await asyncio.to_thread(aggregator.verdicts, model, updates, *known)
    except ValueError:  # the model itself cannot be read: the aggregate says so
        return {}
    return {member: fault.reason if fault else None for member, fault in found.items()}


async def _updates(story: Story, number: int) -> dict[str, bytes]:
    found = {}
    for member, shown in story.reveals(number).items():
        data = await story.evidence.content(shown.update)
        if data is not None:
            found[member] = data
    return found


def _note_refused(
    story: Story,
    number: int,
    current: RoundState,
    verdicts: Mapping[str, Reason | None],
    tx: Transaction | None,
) -> None:
    """What the committee refused may have been unreachable then: to be known, not held against it."""
    for member in sorted(set(story.reveals(number)) - set(current.valid) - set(current.set_aside)):
        reason = verdicts.get(member, Reason.MISSING)
        ours = (
            f"so is it here: {reason}" if reason else "here it can be had and is fit: ask the committee why"
        )
        story.say("update", f"{member[:24]}'s update does not count; {ours}", tx, round=number, ok=None)
    for member in current.valid:
        reason = verdicts.get(member)
        if reason in (
            Reason.NORM,
            Reason.COSINE,
            Reason.DIRECTION,
        ):  # others make the aggregate itself impossible
            text = f"{member[:24]}'s update counts, though the light check finds: {reason}"
            story.say("update", text, tx, round=number, ok=None)


def _missing(story: Story, number: int, what: str, cid: str, tx: Transaction | None) -> None:
    block, tx_id = (tx.block, tx.tx_id) if tx else (-1, "")
    text = f"round {number}: {what} is not to be had"
    story.findings.append(Finding(Class.MISSING, text, block, tx_id, expected=cid))
    story.say("aggregate", f"{what} is not to be had: {cid}", tx, round=number, ok=False)
