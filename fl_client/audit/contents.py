"""Which content a job's audit needs, and what for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from chaincode.contracts import keys
from chaincode.shim.memory import WorldState
from fl_client.audit.executor import counted_views, record, text
from fl_client.audit.findings import HOSTILE

LAST = "\U0010ffff"
ATTEMPTS = 100  # a job may have


class Need(NamedTuple):
    """One content by its CID; not `required`: the audit can do without it."""

    cid: str
    what: str
    required: bool


def rounds(state: WorldState, job: str) -> list[int]:
    """The job's rounds that were opened."""
    prefix = keys.state(job, 0).rpartition("/")[0] + "/"
    found = []
    for key, _ in state.items(prefix, prefix + LAST):
        number = key.removeprefix(prefix)
        if number.isdecimal():
            found.append(int(number))
    return sorted(found)


def needs(state: WorldState, job: str) -> Iterator[Need]:
    """The content of a job as the ledger names it: models, public items and their view, reports and updates.

    Of a round whose records are forged so that nothing can be made of them, none: the audit finds those.
    """
    found = (record(state, keys.job(job)) or {}).get("spec")
    spec = found if isinstance(found, dict) else {}
    for name, what, required in (
        ("model", "the initial model", True),
        ("public_set", "the public items", False),
        ("public_view", "the public view", True),
    ):
        if spec.get(name):
            yield Need(str(spec[name]), what, required)
    for number in rounds(state, job):
        with suppress(*HOSTILE):
            yield from list(_of_round(state, job, number))


def _of_round(state: WorldState, job: str, number: int) -> Iterator[Need]:
    current = record(state, keys.state(job, number)) or {}
    yield from _views(state, job, number)
    for cid in dict.fromkeys((current.get("result"), current.get("post"))):
        if cid:
            yield Need(str(cid), f"the model of round {number}", cid == current.get("result"))
    for member, shown in reveals(state, job, number).items():
        aside = member in current.get("set_aside", [])
        yield Need(str(shown.get("report", "")), f"{member}'s report of round {number}", not aside)
        valid = member in current.get("valid", [])
        yield Need(str(shown.get("update", "")), f"{member}'s update of round {number}", valid)


def _views(state: WorldState, job: str, number: int) -> Iterator[Need]:
    """The agreed view, needed if it has scored the next round, and the committee's, needed if they count."""
    current = record(state, keys.state(job, number)) or {}
    after = record(state, keys.state(job, number + 1)) or {}
    agreed = str(current.get("next_view", ""))
    yield Need(agreed, f"the view of round {number}'s model", agreed == after.get("view"))
    held = dict(counted_views(state, job, number)) if agreed else {}
    for attempt in range(1, min(int(current.get("attempt", 0)), ATTEMPTS) + 1):
        prefix = keys.view(job, number, attempt, "")
        for key, _ in state.items(prefix, prefix + LAST):
            member, cid = key.removeprefix(prefix), text(state, key)
            yield Need(cid, f"{member}'s view of round {number}", held.get(member) == cid)


def reveals(state: WorldState, job: str, number: int) -> dict[str, dict[str, Any]]:
    """Who has revealed what in a round."""
    return _under(state, keys.reveal(job, number))


def outcomes(state: WorldState, job: str, number: int) -> dict[str, dict[str, Any]]:
    """What each participant's round came to."""
    return _under(state, keys.outcome(job, number))


def _under(state: WorldState, prefix: str) -> dict[str, dict[str, Any]]:
    found = ((key, record(state, key)) for key, _ in state.items(prefix, prefix + LAST))
    return {key.removeprefix(prefix): value for key, value in found if value is not None}
