"""The whole audit: evidence in, report out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from chaincode.beacon import BeaconInfo
from chaincode.contracts import keys
from chaincode.records import RULES_VERSION, Consortium, Job
from fl_client.audit.blocks import Transaction
from fl_client.audit.evidence import Evidence
from fl_client.audit.executor import INIT, acting_member, record
from fl_client.audit.export import no_such_job
from fl_client.audit.findings import HOSTILE, Class, Finding, Line, Report
from fl_client.audit.replay import Replayed, replay
from fl_client.audit.rounds import check_round, short
from fl_client.audit.story import Story
from fl_client.audit.unseen import ANSWER


@dataclass(frozen=True)
class Expected:
    """What an auditor knows beforehand, as far as it does: what is given is compared."""

    beacon_key: str = ""  # hex
    first_hash: str = ""  # of block 0: which network this is
    last_hash: str = ""  # of the newest block, as anybody else has it: nothing is cut off
    terms: Consortium | None = None


async def audit(evidence: Evidence, expected: Expected | None = None) -> Report:
    """Check everything that can be checked; whatever else the evidence holds is found, not raised.

    Raises: BadInput when nobody has ever created such a job on the channel, and nothing else is wrong there.
    """
    replayed = await replay(evidence)
    _known(evidence, replayed)
    findings, lines, scores = list(replayed.findings), list(replayed.lines), []
    known = expected or Expected()
    terms = _terms(replayed, known, findings)
    job = _job(evidence.subject.job, replayed, known, findings)
    findings += _labels(evidence, replayed, job)
    if job:
        story = Story(evidence, replayed, job)
        await _follow(story)
        findings, lines = findings + story.findings, lines + story.lines
        scores = story.scores
    findings.sort(
        key=lambda each: each.block if each.block >= 0 else replayed.blocks
    )  # chain first, then job
    subject = evidence.subject
    return Report(
        job=subject.job,
        ledger=subject.kind,
        channel=subject.channel,
        chaincode=subject.chaincode,
        blocks=replayed.blocks,
        first_hash=replayed.first_hash,
        last_hash=replayed.last_hash,
        state=replayed.digest,
        transactions=replayed.transactions,
        executed=replayed.executed,
        findings=list(dict.fromkeys([*evidence.findings, *findings])),
        lines=[*(Line("channel", f"checked: {each}", None) for each in replayed.checks), *lines],
        terms=terms,
        counts=dict(sorted(replayed.counts.items())),
        totals=replayed.totals,
        scores=scores,
    )


def _known(evidence: Evidence, replayed: Replayed) -> None:
    """Refuse a job's name that is mistyped: what is wrong with the name is not wrong with the job."""
    name = evidence.subject.job
    created = any(tx.name == "Jobs:create" and tx.args[1:2] == (name.encode(),) for tx in replayed.valid)
    nothing = not (replayed.findings or evidence.findings)
    if nothing and not created and replayed.state.get(keys.job(name)) is None and _founded(replayed):
        raise no_such_job(evidence.subject, replayed.state)


def _founded(replayed: Replayed) -> Consortium | None:
    """What the founding transaction wrote."""
    founding = next((tx for tx in replayed.valid if tx.name == INIT), None)
    raw = replayed.written.get(founding.tx_id, {}).get(keys.CONSORTIUM) if founding else None
    try:
        return msgspec.json.decode(raw or b"", type=Consortium)
    except (ValueError, RecursionError):
        return None


def _terms(replayed: Replayed, known: Expected, findings: list[Finding]) -> dict[str, str]:
    """The consortium's terms, from its founding transaction; compared with what the auditor expects."""
    for name, own, theirs in (
        ("the first block's hash", known.first_hash, replayed.first_hash),
        ("the newest block's hash", known.last_hash, replayed.last_hash),
    ):
        if own and own != theirs:
            findings.append(Finding(Class.TERMS, f"{name} is another", 0, "", own, theirs))
    terms = _founded(replayed)
    if terms is None:
        findings.append(Finding(Class.TERMS, "no valid transaction founds the consortium"))
        return {}
    founding = next(tx for tx in replayed.valid if tx.name == INIT)
    if known.terms and known.terms != terms:
        what = "the consortium was founded on other terms than expected"
        expected, found = (msgspec.json.encode(each).decode() for each in (known.terms, terms))
        findings.append(founding.finding(Class.TERMS, what, expected, found))
    if known.beacon_key and known.beacon_key != terms.beacon.public_key:
        what = "the beacon's public key is not the one expected"
        findings.append(founding.finding(Class.TERMS, what, known.beacon_key, terms.beacon.public_key))
    return {
        "organisations": ", ".join(terms.organisations),
        "beacon": _beacon(terms.beacon),
        "freshness, margin": f"{terms.freshness} s, {terms.margin} s",
        "registration": msgspec.json.encode(terms.registration).decode(),
        "founded": f"block {founding.block}, transaction {founding.tx_id}",
    }


def _labels(evidence: Evidence, replayed: Replayed, job: Job | None) -> list[Finding]:
    """What the evidence says of itself must be what its blocks say."""
    found, named = [], evidence.subject.organisations
    if job and evidence.beacon and evidence.beacon != job.beacon:
        what, pinned = "the beacon in the manifest is not the one the job pins", job.beacon.public_key
        found.append(Finding(Class.EVIDENCE, what, expected=pinned, found=evidence.beacon.public_key))
    if evidence.exported_for not in ("", evidence.subject.job):
        what = "it was exported for another job: the content of this one is not in it"
        found.append(Finding(Class.EVIDENCE, what, -1, "", evidence.subject.job, evidence.exported_for))
    founded = _founded(replayed)
    if evidence.subject.kind == "embedded" and founded and not set(founded.organisations) <= set(named):
        what, listed = "it names fewer organisations than founded the consortium", ", ".join(named)
        founders = ", ".join(founded.organisations)
        found.append(Finding(Class.EVIDENCE, what, expected=founders, found=listed))
    return found


def _beacon(info: BeaconInfo) -> str:
    return f"public key {info.public_key}, chain {info.chain_hash}, every {info.period} s ({info.id})"


def _job(name: str, replayed: Replayed, known: Expected, findings: list[Finding]) -> Job | None:
    entry = replayed.state.get(keys.job(name))
    try:
        job = msgspec.json.decode(entry.value if entry else b"", type=Job)
        job.beacon.check()
    except (ValueError, RecursionError) as fault:
        what = f"no valid transaction creates the job {name!r}" if entry is None else f"job {name!r}: {fault}"
        findings.append(Finding(Class.JOB, what))
        return None
    if job.rules_version != RULES_VERSION:
        what = (
            f"the job runs under rules {job.rules_version}, this program has {RULES_VERSION}: use its release"
        )
        findings.append(Finding(Class.TERMS, what))
    if known.beacon_key and known.beacon_key != job.beacon.public_key:
        what = "the job's beacon has not the public key expected"
        findings.append(Finding(Class.TERMS, what, 0, "", known.beacon_key, job.beacon.public_key))
    return job


def _absent(story: Story) -> None:
    """Transactions that could not be run again: a finding where the job needs them, a line elsewhere."""
    for tx, missing in story.replayed.absent:
        names = [each.decode(errors="replace") for each in tx.args[1:3]]
        aside = _set_aside(story, names)
        for cid, member in missing.items():
            thing = "view" if tx.name.startswith("Aggregation:") else "report"
            what = f"{short(member)}'s {thing}" if member else "the public view"
            text = f"{tx.name} of {'/'.join(names)}: {what} {cid} is not to be had"
            if names[0] != story.job.id:
                story.say("other jobs", f"{text}; taken as endorsed", tx, ok=None)
            elif tx.name == ANSWER:  # what counts is missed where it was combined
                story.say("view", f"{text}; the reveal is taken as endorsed", tx, ok=None)
            elif member in aside:
                story.say("report", f"{text}; it was set aside by vote", tx, ok=None)
            else:
                story.findings.append(tx.finding(Class.MISSING, text, expected=cid))


def _set_aside(story: Story, names: Sequence[str]) -> list[str]:
    number = int(names[1]) if len(names) > 1 and names[1].isdecimal() else 0
    found = record(story.replayed.state, keys.state(names[0], number)) or {}
    return list(found.get("set_aside", []))


_TOPICS = {"Governance": "governance", "Registry": "membership", "Token": "money", "Jobs": "job"}


def _tell(story: Story) -> None:
    """One line for each transaction that is not a round's: founding, votes, members, money, the job itself."""
    for tx in story.replayed.valid:
        topic = _TOPICS.get(tx.name.partition(":")[0])
        if topic == "job" and tx.args[1:2] != (story.job.id.encode(),):
            continue
        if topic:
            story.say(topic, f"{tx.name} {arguments(tx)} by {_caller(story, tx)}", tx, ok=story.again(tx))


def arguments(tx: Transaction) -> str:
    """What a call was given, for a line of the report; bytes that are no text, such as a key, in hex."""
    text = " ".join(map(_shown, tx.args[1:]))
    return text if len(text) <= 96 else text[:95] + "…"


def _shown(argument: bytes) -> str:
    text = argument.decode(errors="replace")
    return text if text.isprintable() and text.encode() == argument else argument.hex()


def _caller(story: Story, tx: Transaction) -> str:
    return short(acting_member(story.replayed.state, tx)) or "somebody"


async def _follow(story: Story) -> None:
    with _hostile(story, "the job"):
        _absent(story)
        _tell(story)
        for number in story.rounds:
            with _hostile(story, f"round {number}"):
                await check_round(story, number)


@contextmanager
def _hostile(story: Story, what: str) -> Iterator[None]:
    """What cannot be followed is a finding; the audit goes on behind it."""
    try:
        yield
    except HOSTILE as fault:
        told = f"{what} cannot be followed: {type(fault).__name__} {fault}"
        story.findings.append(Finding(Class.FORMAT, told[:400]))
