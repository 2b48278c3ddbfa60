"""The job layer: a round's draws, commits, reveals, scores and payments, checked apart from the contracts."""

from __future__ import annotations

import msgspec

from chaincode import beacon as beacons
from chaincode import commitment, draw, report, scoring
from chaincode.beacon import Beacon
from chaincode.contracts import keys
from chaincode.encoding import domain
from chaincode.records import Lock, Outcome, Phase, Reveal, RoundState
from chaincode.scoring import organisation
from fl_client.audit.aggregates import check_aggregate
from fl_client.audit.blocks import Transaction
from fl_client.audit.findings import Class, Score
from fl_client.audit.story import Story
from fl_client.audit.views import check_agreed_view, check_scoring_view

_PAID_AT_ONCE = ("paper", "per-round")  # mechanisms whose settlement pays all of a round's pay


def short(member: str) -> str:
    """A member id as a person can read it."""
    msp_id, _, key = member.partition(":")
    return f"{msp_id}:{key[:8]}" if key else member


async def check_round(story: Story, number: int) -> None:
    """Everything of one round, line by line."""
    current = story.state(number)
    opened = story.last("Rounds:open", number)
    text = f"opened; the batch of {story.job.spec.tasks} tasks is drawn by beacon {current.batch_round}"
    story.say("opening", text, opened, round=number)
    commits = story.commits(number)
    for member, (tx, lock) in commits.items():
        story.say("commit", f"{short(member)} committed to {lock.digest[:16]}…", tx, round=number)
    pairing = _beacon(
        story, "Rounds:pair", number, current.pairing_round, current.pairing_randomness, "pairing"
    )
    await _reveals(story, number, commits, story.reveals(number))
    sealed = story.last("Rounds:seal", number)
    if sealed:
        story.say("seal", f"sealed with {len(story.reveals(number))} reveals", sealed, round=number)
    sampling = _beacon(
        story, "Settlement:settle", number, current.sampling_round, current.sampling_randomness, "sampling"
    )
    settled = story.last("Settlement:settle", number)
    if settled and pairing and sampling:
        _participants(story, number, settled)
        if any(shown.report for shown in story.reveals(number).values()):
            _draws(story, number, current, settled)
            if scoring.needs_view(story.job.spec, current):
                await check_scoring_view(story, number, current, settled)
        for member, outcome in story.outcomes(number).items():
            _outcome(story, number, member, outcome, settled)
    elif current.phase is Phase.VOID:
        story.say("end", "void: locks returned", story.last("Rounds:pair", number), round=number)
    await check_aggregate(story, number, current)
    await check_agreed_view(story, number, current)


def _beacon(story: Story, name: str, number: int, expected: int, randomness: str, what: str) -> bool:
    """The beacon that decided: signed by the chain's key, of the round fixed beforehand, used as it is."""
    tx = story.last(name, number)
    if tx is None or not randomness:
        return False
    try:
        given = msgspec.json.decode(tx.args[3], type=Beacon)
        beacons.verify(story.job.beacon, given)
    except (IndexError, ValueError) as fault:
        text = f"the {what} beacon {expected} verifies under the public key"
        return story.check(False, Class.BEACON, "beacon", text, tx, round=number, found=fault)
    text = f"the {what} beacon {expected} verifies, was fixed beforehand, and gives the randomness in use"
    used = (given.round, given.randomness.hex())
    return story.check(
        used == (expected, randomness),
        Class.DRAW,
        "beacon",
        text,
        tx,
        round=number,
        expected=used,
        found=(expected, randomness),
    )


async def _reveals(
    story: Story,
    number: int,
    commits: dict[str, tuple[Transaction, Lock]],
    reveals: dict[str, Reveal],
) -> None:
    spec, subject = story.job.spec, story.evidence.subject
    base = domain(subject.channel, subject.chaincode, story.job.id, number)
    for member, shown in reveals.items():
        tx = story.wrote("Rounds:reveal", number, keys.reveal(story.job.id, number, member))
        salt = bytes.fromhex(shown.salt)
        digest = commitment.digest(base, member, shown.report, shown.update, salt).hex()
        promised = commits[member][1].digest if member in commits else ""
        text = f"{short(member)} revealed what it had committed to"
        story.check(
            digest == promised,
            Class.REPORT,
            "reveal",
            text,
            tx,
            round=number,
            expected=promised,
            found=digest,
        )
        if not shown.report:  # a round of updates alone
            continue
        data = await story.evidence.content(shown.report)
        if data is None:
            aside = member in story.state(number).set_aside
            text = f"{short(member)}'s report {shown.report} is not to be had" + (
                ", and was set aside by vote" if aside else ""
            )
            story.say("report", text, tx, round=number, ok=None if aside else False)
            continue
        try:
            report.unpack(data, spec.tasks, spec.alphabet)
            fault = ""
        except ValueError as error:
            fault = str(error)
        text = (
            f"{short(member)}'s report has {spec.tasks} symbols below {spec.alphabet} and hashes to its CID"
        )
        story.check(not fault, Class.REPORT, "report", text, tx, round=number, found=fault)


def _participants(story: Story, number: int, settled: Transaction) -> None:
    """Who has an outcome is who had committed, but for those drawn out at the pairing."""
    commits, prefix = set(story.commits(number)), keys.lock(story.job.id, number)
    pair = story.last("Rounds:pair", number)
    refunded = {
        key.removeprefix(prefix)
        for key, raw in (story.replayed.written[pair.tx_id].items() if pair else ())
        if key.startswith(prefix) and raw is None
    }
    expected, found = sorted(commits - refunded), sorted(story.outcomes(number))
    out = f" ({len(refunded)} drawn out and refunded)" if refunded else ""
    text = f"the {len(expected)} participants are those who committed{out}"
    story.check(
        expected == found,
        Class.PARTICIPANT,
        "participants",
        text,
        settled,
        round=number,
        expected=", ".join(map(short, expected)),
        found=", ".join(map(short, found)),
    )


def _draws(story: Story, number: int, current: RoundState, settled: Transaction) -> None:
    """The scored tasks and everybody's peers, as the two beacons draw them."""
    spec, subject = story.job.spec, story.evidence.subject
    base = domain(subject.channel, subject.chaincode, story.job.id, number)
    sampling, pairing = (
        bytes.fromhex(each) for each in (current.sampling_randomness, current.pairing_randomness)
    )
    tasks = draw.draw(draw.seed("tasks", base, sampling), range(spec.tasks), spec.scored_tasks)
    shown = ", ".join(map(str, sorted(tasks)[:6]))
    story.say("draw", f"{len(tasks)} of {spec.tasks} tasks count: {shown}, …", settled, round=number)
    apart = organisation if spec.prefer_other_organisations else None
    drawn = draw.peers(draw.seed("pair", base, pairing), sorted(story.outcomes(number)), spec.peers, apart)
    for member, others in drawn.items():
        text = f"{short(member)} is scored against {', '.join(map(short, others))}"
        story.say("draw", text, settled, round=number)


def _outcome(story: Story, number: int, member: str, outcome: Outcome, settled: Transaction) -> None:
    """A score is what running the settlement again gives; the payment is what the ledger's lines say."""
    story.scores.append(Score(number, member, outcome.score, outcome.norm, outcome.payment, outcome.slashed))
    again = story.again(settled)
    if outcome.norm:
        text = f"{short(member)} scores {outcome.score}/{outcome.norm}"
        story.say("score", text, settled, round=number, ok=again)
    if story.job.spec.mechanism not in _PAID_AT_ONCE:
        text = f"{short(member)}: {outcome.payment} by the settlement, run again"
        return story.say("payment", text, settled, round=number, ok=again)
    paid = _paid(story, settled, member)
    if outcome.slashed:
        text = f"{short(member)} did not reveal and lost its lock of {outcome.slashed}"
        due, kind = {"slash": outcome.slashed}, Class.SLASH
    else:
        text = f"{short(member)} is paid {outcome.payment}"
        both = {"payment": max(0, outcome.payment), "negative-payment": max(0, -outcome.payment)}
        due, kind = {name: amount for name, amount in both.items() if amount}, Class.PAYMENT
    story.check(paid == due, kind, "payment", text, settled, round=number, expected=due, found=paid)
    return None


def _paid(story: Story, settled: Transaction, member: str) -> dict[str, int]:
    """What the settlement's lines say of a member: to its account, and of it to the treasury's."""
    found: dict[str, int] = {}
    for key, raw in story.replayed.written[settled.tx_id].items():
        if not key.startswith("entry/") or raw is None:
            continue
        entry, own = msgspec.json.decode(raw), key.startswith(keys.entry(member))
        concerns = entry["kind"] == "payment" if own else entry["kind"] in ("slash", "negative-payment")
        if concerns and (own or entry["other"] == member):
            found[entry["kind"]] = found.get(entry["kind"], 0) + int(entry["amount"])
    return found
