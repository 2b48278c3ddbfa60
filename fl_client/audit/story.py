"""What the job layer looks at: one job's transactions by round, and a notebook for what is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from chaincode.contracts import keys
from chaincode.records import Job, Lock, Outcome, Reveal, RoundState
from fl_client.audit.blocks import Transaction
from fl_client.audit.contents import LAST, rounds
from fl_client.audit.evidence import Evidence
from fl_client.audit.findings import Class, Finding, Line, Score
from fl_client.audit.replay import Replayed

T = TypeVar("T", Reveal, Outcome)


@dataclass
class Story:
    """One job as replayed. `say` and `find` write the report."""

    evidence: Evidence
    replayed: Replayed
    job: Job
    lines: list[Line] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._calls: dict[tuple[str, str], list[Transaction]] = {}
        for tx in self.replayed.valid:
            names = [each.decode(errors="replace") for each in tx.args[1:3]]
            if len(names) == 2 and names[0] == self.job.id:
                self._calls.setdefault((tx.name, names[1]), []).append(tx)
        self._unrun = {id(tx) for tx, _ in self.replayed.absent}
        self._faulty = {finding.tx_id for finding in self.replayed.findings}

    @property
    def rounds(self) -> list[int]:
        """The rounds that were opened."""
        return rounds(self.replayed.state, self.job.id)

    def state(self, number: int) -> RoundState:
        """A round's last state."""
        return self._record(keys.state(self.job.id, number), RoundState)

    def reveals(self, number: int) -> dict[str, Reveal]:
        """Who has revealed what."""
        return dict(self._under(keys.reveal(self.job.id, number), Reveal))

    def outcomes(self, number: int) -> dict[str, Outcome]:
        """Scores and payments."""
        return dict(self._under(keys.outcome(self.job.id, number), Outcome))

    def called(self, name: str, number: int) -> list[Transaction]:
        """The valid transactions of that name about a round, in order."""
        return self._calls.get((name, str(number)), [])

    def calls(self, number: int) -> list[Transaction]:
        """All valid transactions about a round, in order."""
        found = (txs for (_, place), txs in self._calls.items() if place == str(number))
        return sorted((tx for txs in found for tx in txs), key=lambda tx: tx.version)

    def last(self, name: str, number: int) -> Transaction | None:
        """The last of them."""
        return next(reversed(self.called(name, number)), None)

    def commits(self, number: int) -> dict[str, tuple[Transaction, Lock]]:
        """Who has committed to what, in which transaction."""
        prefix, found = keys.lock(self.job.id, number), {}
        for tx in self.called("Rounds:commit", number):
            for key, raw in self.replayed.written[tx.tx_id].items():
                if key.startswith(prefix) and raw:
                    found[key.removeprefix(prefix)] = tx, msgspec.json.decode(raw, type=Lock)
        return found

    def wrote(self, name: str, number: int, key: str) -> Transaction | None:
        """The transaction of that name that wrote a key."""
        calls = self.called(name, number)
        return next((tx for tx in calls if key in self.replayed.written[tx.tx_id]), None)

    def again(self, tx: Transaction | None) -> bool | None:
        """Whether a transaction, run again, gave what is recorded; None when it could not be run."""
        if tx is None or id(tx) in self._unrun:
            return None
        return tx.tx_id not in self._faulty

    def say(
        self, topic: str, text: str, tx: Transaction | None = None, *, round: int = 0, ok: bool | None = True
    ) -> None:
        """A line of the report."""
        block, tx_id = (tx.block, tx.tx_id) if tx else (-1, "")
        self.lines.append(Line(topic, text, ok, block, tx_id, round))

    def check(
        self,
        right: bool,
        kind: Class,
        topic: str,
        text: str,
        tx: Transaction | None,
        *,
        round: int,
        expected: object = "",
        found: object = "",
    ) -> bool:
        """A line that says whether something is as it must be; a finding when it is not."""
        self.say(topic, text, tx, round=round, ok=right)
        if not right:
            block, tx_id = (tx.block, tx.tx_id) if tx else (-1, "")
            self.findings.append(
                Finding(kind, f"round {round}: not so: {text}", block, tx_id, str(expected), str(found))
            )
        return right

    def _record(self, key: str, kind: type[RoundState]) -> RoundState:
        entry = self.replayed.state.get(key)
        if entry is None:
            raise KeyError(key)
        return msgspec.json.decode(entry.value, type=kind)

    def _under(self, prefix: str, kind: type[T]) -> Iterator[tuple[str, T]]:
        for key, entry in self.replayed.state.items(prefix, prefix + LAST):
            yield key.removeprefix(prefix), msgspec.json.decode(entry.value, type=kind)
