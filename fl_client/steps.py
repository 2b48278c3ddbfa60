"""A round, step by step: one short function a step of docs/protocol.md, each safe to repeat.

Steps of the paper (section IV.A) → here: registration → ``register``; model training → ``train``;
inference on the public test set → ``infer``; hash-commit → ``commit``; the oracle matches clients →
``close`` fixes them and ``pair`` brings the beacon; reveal → ``reveal``; MTPP → ``seal`` fixes the
reports and ``settle`` brings the beacon that draws the tasks; payment → in the same transaction.
Then ``begin`` has a committee drawn; what it does is in fl_client/committee.py.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field

import msgspec
import numpy as np

from chaincode import cid, commitment, report, scoring
from chaincode.encoding import domain
from chaincode.mechanisms import MECHANISMS
from chaincode.records import Job, Member, Phase, Reveal, RoundState
from fl_client.beacon import BeaconSource
from fl_client.conduct import examples
from fl_client.contracts import View
from fl_client.errors import BadBeacon, BadInput, CandorError, Disagreement, Refused
from fl_client.inside import shares_work
from fl_client.journal import Journal, Prepared
from fl_client.ledger.base import Ledger
from fl_client.public_views import PublicViews
from fl_client.store.base import Store
from fl_client.training import behaviour, parameters
from fl_client.training.problem import Problem
from fl_client.training.trainer import Trainer, Weights

log = logging.getLogger(__name__)


@dataclass
class Learner:
    """A client's private side: its model, data and behaviour."""

    problem: Problem
    trainer: Trainer
    conduct: behaviour.Behaviour
    x: np.ndarray
    y: np.ndarray
    seed: int
    epochs: int = 5
    effort: int = 800  # mini-batches of a report model that sees private data alone
    place: int = 0  # among the job's clients: whose data these are

    def public_set(self) -> bytes:
        """The public items as the job names them by CID."""
        return parameters.to_bytes([np.asarray(self.problem.public(), dtype=np.float32)])


@dataclass
class Seat:
    """One client's place in one job: everything a step needs."""

    ledger: Ledger
    store: Store
    beacons: BeaconSource
    journal: Journal
    learner: Learner
    job: Job
    me: str = ""  # the own member id: that of the first key, which after a rotation is not the ledger's
    view: View = field(init=False)
    _sound: str = field(init=False, default="")  # the last model that could be read

    def __post_init__(self) -> None:
        self.view = View(self.ledger)
        self.me = self.me or self.ledger.member_id

    def domain(self, round: int) -> bytes:
        """DOMAIN of the round."""
        return domain(self.ledger.channel, self.ledger.chaincode, self.job.id, round)

    async def model(self, model_cid: str) -> bytes:
        """A global model's bytes. Disagreement: they are none, so whoever decided on them has lied."""
        data = await self.store.get(model_cid, limit=self.job.spec.model_bytes)
        if model_cid != self._sound:
            try:
                await asyncio.to_thread(parameters.from_bytes, data)
            except parameters.Unusable as fault:
                raise Disagreement(f"{model_cid} is no model: {fault}") from fault
            self._sound = model_cid
        return data


async def register(ledger: Ledger) -> Member:
    """Become a member, unless this key acts for one already; who has left comes back as the same one.

    The deposit is paid from its own credits.
    """
    view = View(ledger)
    member = await view.me()
    if member is not None and member.status != "left":
        return member
    deposit = (await view.consortium()).registration.deposit
    credits = await view.credits(member.id if member else ledger.member_id, deposit)
    try:
        receipt = await ledger.submit("Registry:register", credits)
    except Refused as refusal:
        member = await view.me() if refusal.code == 409 else None
        if member is None:
            raise
        return member  # registered meanwhile, by this client before a crash
    return msgspec.json.decode(receipt.payload, type=Member)


async def open(seat: Seat, round: int) -> None:
    """Step 0: open the round with a fresh beacon."""
    await seat.ledger.submit("Rounds:open", seat.job.id, round, await seat.beacons.latest())


async def train(seat: Seat, state: RoundState, work: behaviour.Work) -> Weights:
    """Step 1: the client's own model, tuned from the global one on private data; what it changed is the update."""
    return await asyncio.to_thread(seat.learner.conduct.train, work)


async def infer(seat: Seat, state: RoundState, work: behaviour.Work, weights: Weights) -> bytes:
    """Step 2: its labels of the round's public batch, packed.

    By the model of step 1, or, where the mechanism wants it, by one that never saw the global model. BadInput: it
    could not be revealed, so that to commit to it would cost the whole lock.
    """
    alphabet = seat.job.spec.alphabet
    symbols = await asyncio.to_thread(seat.learner.conduct.infer, work, weights)
    try:
        return report.pack(behaviour.checked(symbols, len(work.batch), alphabet), alphabet)
    except ValueError as fault:
        raise BadInput(f"the client would report {fault}", "Correct its behaviour or its model") from fault


async def work_of(seat: Seat, state: RoundState) -> behaviour.Work:
    """What the round asks: the global model and, where it takes reports, the beacon-drawn batch of public items."""
    learner, items, public = seat.learner, await _batch(seat, state), seat.learner.problem.public()
    try:
        weights = parameters.from_bytes(await seat.model(state.model), learner.trainer.initial())
    except parameters.Unusable as fault:
        raise Disagreement(
            f"round {state.round} begins with another model than the job's: {fault}"
        ) from fault
    x, y = examples(learner.conduct, (learner.x, learner.y), public, learner.trainer, weights)
    return behaviour.Work(
        trainer=learner.trainer,
        alphabet=seat.job.spec.alphabet,
        x=x,
        y=y,
        batch=public[items],
        weights=weights,
        seed=behaviour.seed(learner.seed, learner.place, state.round),
        epochs=learner.epochs,
        local_only=MECHANISMS[seat.job.spec.mechanism].local_only,
        effort=learner.effort,
        round=state.round,
        items=items,
        past=await _past(seat, state) if getattr(learner.conduct, "looks_back", False) else (),
    )


async def _past(seat: Seat, state: RoundState) -> list[behaviour.Past]:
    """What earlier rounds have made public; reports that cannot be fetched are left out."""
    found, learner, spec = [], seat.learner, seat.job.spec
    size = report.size(spec.tasks, spec.alphabet)
    for number in range(1, state.round):
        before = await seat.view.agreed_round(seat.job.id, number)
        reveals = (await counted(seat, before)).items()
        reports = await _fetch(
            seat, {member: shown.report for member, shown in reveals if shown.report}, size
        )
        items = await _batch(seat, before)
        found.append(
            behaviour.Past(
                items=items,
                batch=learner.problem.public()[items],
                weights=parameters.from_bytes(await seat.model(before.model), learner.trainer.initial()),
                reports={m: report.unpack(data, spec.tasks, spec.alphabet) for m, data in reports.items()},
                me=seat.me,
                seed=behaviour.seed(learner.seed, learner.place, number),
            )
        )
    return found


async def _batch(seat: Seat, state: RoundState) -> np.ndarray:
    """The places of the round's tasks in the public set; none where nothing is reported."""
    if not scoring.reports_in(seat.job.spec, state):
        return np.zeros(0, np.int64)
    beacon = await seat.beacons.at(state.batch_round)
    return scoring.batch(seat.job.spec, seat.domain(state.round), beacon.randomness)


async def prepare(seat: Seat, state: RoundState) -> Prepared:
    """Steps 1 and 2 once a round: on disk before anything of it leaves, and found there after a crash.

    In a round without reports the update alone.
    """
    prepared = seat.journal.find(seat.job.id, state.round)
    if prepared is None:
        state = await seat.view.agreed_round(
            seat.job.id, state.round
        )  # a lying peer's model would spoil the work
        work = await work_of(seat, state)
        weights = await train(seat, state, work)
        reports = scoring.reports_in(seat.job.spec, state)
        packed = await infer(seat, state, work, weights) if reports else b""
        update = parameters.to_bytes(parameters.subtract(weights, work.weights))
        names = cid.raw_cid(packed) if reports else "", cid.file_cid(update)
        prepared = Prepared(packed, update, *names, secrets.token_bytes(commitment.SALT_BYTES))
        seat.journal.keep(seat.job.id, state.round, prepared)
    return prepared


async def commit(seat: Seat, state: RoundState) -> None:
    """Step 3: lock the stake behind a salted digest. Nothing else of the report leaves the client."""
    work = await prepare(seat, state)
    digest = commitment.digest(seat.domain(state.round), seat.me, work.report_cid, work.update_cid, work.salt)
    credits = await seat.view.credits(seat.me, seat.job.spec.lock)
    await seat.ledger.submit("Rounds:commit", seat.job.id, state.round, digest.hex(), credits)


async def close(seat: Seat, state: RoundState) -> None:
    """Step 4: fix the participants, once all of the roster have committed or the deadline has passed."""
    beacon = await seat.beacons.latest()
    roster = seat.job.spec.allow_list
    complete = roster is not None and len(roster) == len(await _committed(seat, state))
    if complete or seat.job.beacon.time(beacon.round) >= state.deadline:
        await seat.ledger.submit("Rounds:close", seat.job.id, state.round, beacon)


async def pair(seat: Seat, state: RoundState) -> None:
    """Step 5: bring the beacon that pairs the clients; it did not exist when they committed."""
    pairing = await seat.beacons.at(state.pairing_round)
    await seat.ledger.submit("Rounds:pair", seat.job.id, state.round, pairing, await seat.beacons.latest())


async def reveal(seat: Seat, state: RoundState) -> None:
    """Step 6: open the commit, after making sure that the pairing is real and the participants are fixed.

    Where updates are combined inside an organisation first, this one stays in it until others look at it.
    """
    prepared = seat.journal.find(seat.job.id, state.round)
    if prepared is None:
        log.error("round %d: the journal has no salt for this commit; it cannot be revealed", state.round)
        return
    await _verify_pairing(seat, state)
    storing = [(seat.store.keep if shares_work(seat.job.spec) else seat.store.put)(prepared.update)]
    if prepared.report_cid:
        storing.append(seat.store.put(prepared.report))
    await asyncio.gather(*storing)
    await seat.ledger.submit(
        "Rounds:reveal",
        seat.job.id,
        state.round,
        prepared.report_cid,
        prepared.update_cid,
        prepared.salt.hex(),
        transient={"report": prepared.report} if prepared.report_cid else {},
    )


async def seal(seat: Seat, state: RoundState) -> None:
    """Step 7: fix the reports, once all have revealed or the deadline has passed."""
    beacon = await seat.beacons.latest()
    revealed = await seat.view.reveals(seat.job.id, state.round)
    complete = len(revealed) == len(await _committed(seat, state))
    if complete or seat.job.beacon.time(beacon.round) >= state.deadline:
        await seat.ledger.submit("Rounds:seal", seat.job.id, state.round, beacon)


async def settle(seat: Seat, state: RoundState) -> None:
    """Step 8: bring the sampling beacon and every revealed report; the contract scores and pays.

    In a round without reports the beacon alone, from which the committee is drawn. Where the rule needs a public
    view, the round's, too, and the beacon that drew the batch.
    """
    sampling = await seat.beacons.at(state.sampling_round)
    reveals = await counted(seat, state) if scoring.reports_in(seat.job.spec, state) else {}
    size = report.size(seat.job.spec.tasks, seat.job.spec.alphabet)
    contents = await _fetch(seat, {member: shown.report for member, shown in reveals.items()}, size)
    if len(contents) < len(reveals):  # until the vote on missing reports, the contract wants every one
        log.warning("round %d: %d reports are missing", state.round, len(reveals) - len(contents))
        return
    transient = {f"report/{member}": data for member, data in contents.items()}
    beacons = [sampling]
    if scoring.needs_view(seat.job.spec, state):
        view = await PublicViews(seat).find(state)
        if view is None:
            return
        transient["view"] = view
        beacons.append(await seat.beacons.at(state.batch_round))
    await seat.ledger.submit("Settlement:settle", seat.job.id, state.round, *beacons, transient=transient)


async def begin(seat: Seat, state: RoundState) -> None:
    """Step 9: have the committee drawn."""
    await seat.ledger.submit("Aggregation:begin", seat.job.id, state.round, await seat.beacons.latest())


async def _verify_pairing(seat: Seat, state: RoundState) -> None:
    """A lying peer must not elicit a reveal: most organisations must have the round paired, this client in it."""
    agreed = await seat.view.agreed_round(seat.job.id, state.round)
    if agreed.phase is not Phase.REVEAL:
        raise Disagreement(
            f"most organisations have round {state.round} in phase {agreed.phase}, not {Phase.REVEAL}"
        )
    pairing = await seat.beacons.at(agreed.pairing_round)
    if not pairing.randomness.hex() == agreed.pairing_randomness == state.pairing_randomness:
        raise BadBeacon(
            f"round {state.round} was paired with randomness that beacon {pairing.round} does not have"
        )
    if seat.me not in await seat.view.agreed_participants(seat.job.id, state.round):
        raise Disagreement("more than half of the organisations do not list this client as a participant")


async def _committed(seat: Seat, state: RoundState) -> list[str]:
    return await seat.view.participants(seat.job.id, state.round)


async def counted(seat: Seat, state: RoundState) -> dict[str, Reveal]:
    """Who revealed and was not set aside: whose reports count, and whose updates may."""
    reveals = await seat.view.reveals(seat.job.id, state.round)
    return {member: shown for member, shown in reveals.items() if member not in state.set_aside}


async def _fetch(seat: Seat, names: dict[str, str], limit: int) -> dict[str, bytes]:
    """Contents by member; those that cannot be fetched are logged and left out."""

    async def one(member: str, name: str) -> tuple[str, bytes | None]:
        try:
            return member, await seat.store.get(name, limit=limit)
        except CandorError as fault:
            log.warning("cannot fetch %s of %s: %s", name, member, fault)
            return member, None

    found = await asyncio.gather(*(one(member, name) for member, name in sorted(names.items())))
    return {member: data for member, data in found if data is not None}
