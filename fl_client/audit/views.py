"""The public views of a round: the one that scored its reports, and the one on which its committee agreed."""

from __future__ import annotations

import msgspec

from chaincode import beacon as beacons
from chaincode import cid as cids
from chaincode import view as views
from chaincode.beacon import Beacon
from chaincode.mechanisms import per_round
from chaincode.mtpp import View
from chaincode.records import RoundState
from fl_client.audit.blocks import Transaction
from fl_client.audit.executor import counted_views
from fl_client.audit.findings import Class, Finding
from fl_client.audit.story import Story


async def check_scoring_view(story: Story, number: int, current: RoundState, settled: Transaction) -> None:
    """The public view that scored the round: the round's own, of the batch that its beacon had drawn."""
    spec = story.job.spec
    try:
        given = msgspec.json.decode(settled.args[4], type=Beacon)
        beacons.verify(story.job.beacon, given)
        found, fault = given.round, ""
    except (IndexError, ValueError) as error:
        found, fault = 0, str(error)
    text = f"the batch's beacon {current.batch_round} verifies and was fixed beforehand"
    right = not fault and found == current.batch_round
    story.check(right, Class.BEACON, "beacon", text, settled, round=number, found=fault or found)
    data = await story.evidence.content(current.view)
    if data is None:
        text = f"the public view {current.view} is not to be had"
        return story.say("view", text, settled, round=number, ok=False)
    try:
        views.unpack(data, spec.public_items, spec.alphabet)
        fault = ""
    except ValueError as error:
        fault = str(error)
    text = f"the public view of {spec.public_items} items hashes to the round's CID"
    story.check(not fault, Class.REPORT, "view", text, settled, round=number, found=fault)
    return None


async def check_agreed_view(story: Story, number: int, current: RoundState) -> None:
    """The view of the round's result is what those that counted combine to."""
    if not current.next_view:
        return
    tx, spec = story.last("Aggregation:agree", number), story.job.spec
    seen: dict[str, View] = {}
    for member, name in counted_views(story.replayed.state, story.job.id, number):
        data = await story.evidence.content(name)
        if data is None:
            text = f"round {number}: the view of {member} is not to be had"
            block, tx_id = (tx.block, tx.tx_id) if tx else (-1, "")
            story.findings.append(Finding(Class.MISSING, text, block, tx_id, expected=name))
            story.say(
                "view", f"the view {name} of {member[:24]} is not to be had", tx, round=number, ok=False
            )
            return
        seen[member] = views.unpack(data, spec.public_items, spec.alphabet)
    data, far = per_round.combine(seen, spec.alphabet)
    text = f"the view of its model is what {len(seen)} of the committee's combine to, {current.next_view}"
    own = cids.raw_cid(data)
    right = own == current.next_view
    kind = Class.AGGREGATE
    story.check(right, kind, "view", text, tx, round=number, expected=own, found=current.next_view)
    for member in far:
        text = f"{member[:24]}'s view is far from the agreed one: it loses its bond"
        story.check(member in current.forfeited, Class.SLASH, "view", text, tx, round=number)
