"""A sealed round of any size, as the records the ledger would hold: nobody has to play it first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from chaincode import cid, report
from chaincode.beacon import Beacon, DevSigner
from chaincode.contracts import keys
from chaincode.encoding import canonical
from chaincode.mtpp import RULES
from chaincode.mtpp.payment import best_gain, worst_loss
from chaincode.records import Consortium, Job, JobSpec, Lock, Phase, Record, Registration, Reveal, RoundState

JOB, ROUND = "bench", 1
ORGANISATIONS = ["Org1MSP", "Org2MSP", "Org3MSP"]
PAIRING, SAMPLING = 500, 520
SIGNER = DevSigner(b"benchmark", period=3, genesis_time=1_700_000_000)
BEACON = SIGNER.info


@dataclass(frozen=True)
class Sealed:
    """What is on the ledger (key → value), what the settlement is called with, and its reports (member → bytes)."""

    state: dict[str, bytes]
    sampling: Beacon
    transient: dict[str, bytes]

    @property
    def args(self) -> list[bytes]:
        """The call's arguments after the name of the transaction."""
        return [JOB.encode(), b"%d" % ROUND, canonical(self.sampling)]


def sealed(mechanism: str, rule: str, clients: int, tasks: int, alphabet: int, seed: int = 1) -> Sealed:
    """A round in which everybody has revealed a report that agrees with the others on about 70 % of the tasks."""
    spec = _spec(mechanism, rule, clients, tasks, alphabet)
    state: dict[str, Record | int] = {
        keys.CONSORTIUM: Consortium(
            organisations=ORGANISATIONS,
            beacon=BEACON,
            freshness=5,
            margin=1,
            registration=Registration(),
        ),
        keys.job(JOB): Job(id=JOB, sponsor=ORGANISATIONS[0], spec=spec, beacon=BEACON, freshness=5),
        keys.escrow(JOB): spec.pool,
        keys.state(JOB, ROUND): _state(),
    }
    transient = {}
    for member, symbols in _reports(clients, tasks, alphabet, seed).items():
        data = report.pack(symbols, alphabet)
        named = cid.raw_cid(data)
        state[keys.lock(JOB, ROUND, member)] = Lock(digest="0" * 64, stake=spec.stake, bond=spec.bond)
        state[keys.reveal(JOB, ROUND, member)] = Reveal(report=named, update=named, salt="0" * 64)
        transient[f"report/{member}"] = data
    return Sealed({key: canonical(value) for key, value in state.items()}, SIGNER.sign(SAMPLING), transient)


def _reports(clients: int, tasks: int, alphabet: int, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, alphabet, tasks)
    found = {}
    for i in range(clients):
        member = f"{ORGANISATIONS[i % 3]}:{hashlib.sha256(b'%d' % i).hexdigest()}"
        guess = generator.integers(0, alphabet, tasks)
        found[member] = np.where(generator.random(tasks) < 0.7, truth, guess)
    return found


def _state() -> RoundState:
    return RoundState(
        job=JOB,
        round=ROUND,
        phase=Phase.SEALED,
        model=cid.raw_cid(b"model"),
        batch_round=100,
        deadline=BEACON.time(SAMPLING),
        pairing_round=PAIRING,
        pairing_randomness=SIGNER.sign(PAIRING).randomness.hex(),
        sealed_at=BEACON.time(SAMPLING - 10),
        sampling_round=SAMPLING,
    )


def _spec(mechanism: str, name: str, clients: int, tasks: int, alphabet: int) -> JobSpec:
    rule, price = RULES[name], 1_000_000
    return JobSpec(
        model=cid.raw_cid(b"model"),
        public_set=cid.raw_cid(b"public"),
        model_bytes=1 << 16,
        public_items=2 * tasks,
        tasks=tasks,
        scored_tasks=tasks,
        alphabet=alphabet,
        rounds=5,
        mechanism=mechanism,
        rule=name,
        price=price,
        stake=worst_loss(rule, tasks, alphabet, price),
        bond=50,
        round_pool=clients * best_gain(rule, tasks, alphabet, price),
        min_participants=2,
        max_participants=clients,
        max_members_per_org=1024 // len(ORGANISATIONS),
        gap=10,
        commit_seconds=200,
        reveal_seconds=200,
        missing_seconds=200,
        aggregate_seconds=200,
    )
