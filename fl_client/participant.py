"""A client as a process: joins the consortium, waits for its job, and runs its agent to the end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from chaincode import cid
from chaincode.records import Job, Member
from fl_client import committee, steps
from fl_client.agent import LOST, Agent
from fl_client.beacon import BeaconSource, open_beacon
from fl_client.conduct import conduct
from fl_client.connection import read_connection
from fl_client.contracts import View
from fl_client.errors import BadInput, CandorError, Disagreement, Unavailable
from fl_client.journal import Journal
from fl_client.ledger import Ledger, open_ledger
from fl_client.public_views import PublicViews
from fl_client.steps import Learner, Seat
from fl_client.store import Store, open_store
from fl_client.training.problem import problem
from fl_client.training.trainer import Trainer

log = logging.getLogger(__name__)


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which problem a client works on, with which part of the data, and how."""

    problem: str
    settings: dict[str, Any]
    client: int  # its place among `clients`
    clients: int
    behaviour: str = "honest"
    seed: int = 0
    epochs: int = 5
    effort: int = 800  # mini-batches of a report model that sees private data alone
    aggregator: str = "honest"  # how it takes part in aggregation
    coalition: list[int] = []  # the places of those it agrees with, its own among them; the first leads
    channel: str = ""  # the directory they share


class Pay(msgspec.Struct, frozen=True):
    """What a member got out of a job, in token units by round; a round it took no part in is absent."""

    job: str
    member: str
    rounds: dict[str, int]


def learner(share: Share, job: str = "") -> Learner:
    """Build the private side: data, model, behaviour. Imports TensorFlow (seconds)."""
    channel = Path(share.channel) / job if share.channel else None
    playing = conduct(share.behaviour, share.client, share.coalition, channel)
    task = problem(share.problem, **share.settings)
    try:
        x, y = task.private(share.client, share.clients)
    except ValueError as fault:
        raise BadInput(f"there are no data for this share: {fault}", "Correct client and clients") from fault
    return Learner(
        task,
        Trainer(task, share.seed),
        playing,
        x,
        y,
        share.seed,
        share.epochs,
        share.effort,
        share.client,
    )


async def wait_for_job(ledger: Ledger, job: str, look: float = 0.5) -> Job:
    """The job, as soon as its sponsor has created it; peers that are not there meanwhile are waited for, too."""
    view = View(ledger)
    while True:
        try:
            if (found := await view.job(job)) is not None:
                return found
        except (Disagreement, Unavailable) as fault:
            log.warning("waiting for job %s: %s", job, fault)
        await ledger.changed(look)


async def registered(ledger: Ledger, look: float = 0.5) -> Member:
    """The member that this client is or becomes, also when its first transaction was lost."""
    while True:
        try:
            return await View(ledger).me() or await steps.register(ledger)
        except LOST as fault:
            log.warning("registering: %s", fault)
        await ledger.changed(look)


async def join(ledger: Ledger, job: str) -> tuple[Member, Job]:
    """Become a member, and wait for the job.

    Who has left is not brought back: started again in the middle of a round, it goes on with that alone.
    """
    member = await registered(ledger)
    log.info("registered as %s", member.id)
    return member, await wait_for_job(ledger, job)


async def take_part(
    ledger: Ledger, store: Store, beacons: BeaconSource, journal: Path, job: str, share: Share, **pace: float
) -> str:
    """All of a client's way: register, wait for the job, take part in each of its rounds. Returns its member id.

    What cannot be used (a journal, a share) ends it at once, not when the job is there.
    """
    kept = Journal(journal)
    joining = asyncio.ensure_future(join(ledger, job))
    try:
        built, (member, record) = await asyncio.gather(asyncio.to_thread(learner, share, job), joining)
    finally:
        joining.cancel()
    seat = Seat(ledger, store, beacons, kept, built, record, member.id)
    check_public_set(seat)
    await check_public_view(seat)
    await Agent(seat, committee.named(share.aggregator)(seat), **pace).run()
    log.info("job %s is over", job)
    return member.id


def check_public_set(seat: Seat) -> None:
    """The job's public items must be the client's own, as many as its rounds are drawn from; BadInput otherwise."""
    own, many = cid.file_cid(seat.learner.public_set()), len(seat.learner.problem.public())
    if many != seat.job.spec.public_items:
        raise BadInput(
            f"job {seat.job.id} draws from {seat.job.spec.public_items} public items, this client has {many}",
            "Use the problem and the settings that the job's sponsor names",
        )
    if own != seat.job.spec.public_set:
        raise BadInput(
            f"job {seat.job.id} is about the public set {seat.job.spec.public_set}, this client has {own}",
            "Use the problem and the settings that the job's sponsor names",
        )


async def check_public_view(seat: Seat) -> None:
    """Where the job names a public view, no round can be settled unless it is sound; BadInput if it is not.

    Where it is the initial model's, it must also be near to what that model answers on this machine.
    """
    spec, own = seat.job.spec, PublicViews(seat)
    if not spec.public_view:
        return
    try:
        view = await own.first()
        other = spec.agree_view and await own.differs(spec.model, view)
    except (ValueError, Disagreement) as fault:
        raise BadInput(f"the public view of job {seat.job.id} is not one: {fault}") from fault
    except CandorError as fault:  # a store that is down now may be up at the settlement
        log.warning("cannot check the public view %s: %s", spec.public_view, fault)
        return
    if other:
        raise BadInput(f"the public view of job {seat.job.id} is not its initial model's")


async def run(connection: Path, identity: str, journal: Path, job: str, share: Share) -> Pay:
    """A client process against the real network; what it was paid in the end."""
    async with AsyncExitStack() as stack:
        network = read_connection(connection)
        ledger = await stack.enter_async_context(open_ledger(network, network.identity(identity)))
        store = await stack.enter_async_context(open_store(network))
        beacons = await stack.enter_async_context(open_beacon(network))
        member = await take_part(ledger, store, beacons, journal, job, share)
        return await paid(View(ledger), job, member)


async def paid(view: View, job: str, member: str) -> Pay:
    """What a job that is over paid the member, in units, by round."""
    last, found = await view.last_round(job), dict[str, int]()
    for number in range(1, (last.round if last else 0) + 1):
        outcome = (await view.outcomes(job, number)).get(member)
        if outcome is not None:
            found[str(number)] = outcome.payment - outcome.slashed
    return Pay(job, member, found)
