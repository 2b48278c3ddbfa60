"""Malformed calls by the hundred thousand: sound ones to begin with, then broken in every way that is cheap."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from chaincode.contracts import Consortium
from chaincode.shim.contract import Transaction
from tests.attacks.scenes import Scene, identity_until
from tests.world import MODEL, ORGANISATIONS, UPDATE

NASTY: tuple[bytes, ...] = (
    b"", b"\0", b"\xff", b"\xff\xfe\xfd", b"null", b"true", b"0", b"-1", b"1", b"1.5", b"1e400", b"-0", b"NaN",
    b"Infinity", b"9" * 30, b"9" * 5000, str(2**63).encode(), str(2**64).encode(), b'""', b'"x"', b"[]", b"[[]]",
    b"{}", b'{"":0}', b'{"a":1,"a":2}', b"[" * 2000, b'{"a":' * 2000, b"[" * 500 + b"]" * 500, b"job", b"job\n",
    b"job\0", b"job/000001", b"../job", b"Org1MSP", b"Org1MSP:", b"treasury", b"Org1MSP:" + b"0" * 64, b"0" * 64,
    b"A" * 64, b"0" * 65, "é".encode() * 40, "\u202e".encode(), "\U0010ffff".encode(), b"a" * 4096, b'"\\ud800"',
    b"consortium", b"credit/Org1MSP/", b"%s%n", b"'; DROP TABLE", b"${jndi:x}", b"{{7*7}}", b"\r\n\r\n",
    b'{"round":1,"signature":""}', b'{"round":1,"signature":"' + b"c0" + b"00" * 47 + b'"}',
    b'{"round":' + b"9" * 40 + b',"signature":"' + b"00" * 48 + b'"}',
)  # fmt: skip


class Fuzzed(NamedTuple):
    """One call: who, what, and what comes beside it."""

    creator: bytes
    args: list[bytes]
    transient: dict[str, bytes]


@dataclass
class Sound:
    """Values that are right, or were once, by the name of a parameter."""

    values: Mapping[str, Sequence[bytes]]
    creators: Sequence[bytes]
    transient: Sequence[Mapping[str, bytes]]


async def sound(at: Scene) -> Sound:
    """What a well-informed attacker knows of the scene."""
    world, spec = at.world, at.spec
    works = list(at.works.values()) or [world.work(spec)]
    beacons = [_json(world.beacon(ahead)) for ahead in (-1, 0, 1)]
    state = await world.view.round("job", 1)
    for number in (state.pairing_round, state.sampling_round) if state else ():
        if number:
            beacons.append(_json(world.signer.sign(number)))
    members = [who.member_id.encode() for who in at.members]
    credits = [_json(await world.view.credits(who.member_id, 1)) for who in at.members[:2]]
    accounts = [b"Org1MSP", b"treasury", *members]
    hashes = [member.partition(b":")[2] for member in members]
    actions = [{"action": "mint", "account": "Org1MSP", "amount": 1}, {"action": "abort-job", "job": "job"}]
    values: dict[str, Sequence[bytes]] = {
        "job": [b"job"], "round": [b"1", b"2", b"0"], "beacon": beacons, "pairing": beacons, "sampling": beacons,
        "batch": [b"null", b"null", *beacons],
        "member": members, "account": accounts, "to": accounts, "amount": [b"1", b"1000"], "credits": [b"[]", *credits],
        "spec": [_json(spec)], "key": hashes, "name": [b"client0"], "proposal": [b"p", b"q"],
        "action": [_json(action) for action in actions], "digest": hashes,
        "salt": [work.salt.hex().encode() for work in works],
        "report_cid": [work.report.encode() for work in works], "update_cid": [UPDATE.encode()],
        "view": [b"", MODEL.encode()], "missing": [b"[]", _json([member.decode() for member in members[:1]])],
        "model": [MODEL.encode()], "refused": [b"{}", _json({at.members[0].member_id: "missing"})],
        "valid": [_json([m.decode() for m in members])], "attempt": [b"1"], "memo": [b"memo"], "after": [b""],
        "signature": hashes, "phase": [b"commit"], "organisations": [_json(ORGANISATIONS)], "freshness": [b"5"],
        "margin": [b"1"],
        "registration": [_json(world.terms.registration)],
    }  # fmt: skip
    reports = {f"report/{member}": work.data for member, work in at.works.items()}
    one = {"report": works[0].data}
    outsider = identity_until("Org9MSP", "outsider", 2**31)
    creators = [who._creator for who in [*at.members, *world.admins.values(), world.ledger(outsider)]]
    return Sound(values, creators, ({}, {}, one, reports))


class Fuzzer:
    """An endless row of calls, the same for the same seed."""

    def __init__(self, chaincode: Consortium, known: Sound, seed: int) -> None:
        self._random, self._known = random.Random(seed), known  # noqa: S311 - repeatable on purpose
        self._calls: list[tuple[str, Transaction]] = sorted(chaincode._transactions.items())
        self._breaks: Sequence[Callable[[list[bytes]], None]] = (
            self._nothing, self._nothing, self._nothing, self._replace, self._flip, self._drop, self._add, self._swap,
            self._cut, self._json, self._nest,
        )  # fmt: skip

    def __iter__(self) -> Fuzzer:
        return self

    def __next__(self) -> Fuzzed:
        roll, known = self._random, self._known
        name, transaction = roll.choice(self._calls)
        args = [self._value(parameter.name) for parameter in transaction.parameters]
        for _ in range(roll.choice((1, 1, 1, 2, 3))):
            roll.choice(self._breaks)(args)
        wire_name = name.encode() if roll.random() < 0.98 else self._broken_name(name)
        transient = dict(self._beside(name) if roll.random() < 0.9 else roll.choice(known.transient))
        if roll.random() < 0.05:
            transient[roll.choice(("report", "report/", "view", "x", "", "report/\0"))] = roll.choice(NASTY)
        return Fuzzed(roll.choice(known.creators), [wire_name, *args], transient)

    def _beside(self, name: str) -> Mapping[str, bytes]:
        _, _, one, reports = self._known.transient
        return {"Rounds:reveal": one, "Settlement:settle": reports}.get(name, {})

    def _value(self, parameter: str) -> bytes:
        return self._random.choice(self._known.values.get(parameter, NASTY))

    def _broken_name(self, name: str) -> bytes:
        contract, _, method = name.partition(":")
        odd = (
            b"",
            b":",
            name.upper().encode(),
            method.encode(),
            f"{contract}:__init__".encode(),
            b"\xff:x",
            NASTY[-1],
        )
        return self._random.choice(
            (*odd, name.encode() + b"\0", f"{contract}:_fresh".encode(), b"x" * 10_000)
        )

    def _place(self, args: list[bytes]) -> int:
        return self._random.randrange(len(args)) if args else -1

    def _nothing(self, args: list[bytes]) -> None:
        """Leave it sound: wrong caller, phase or time alone."""

    def _replace(self, args: list[bytes]) -> None:
        if args:
            args[self._place(args)] = self._random.choice(NASTY)

    def _flip(self, args: list[bytes]) -> None:
        if args and (raw := bytearray(args[place := self._place(args)])):
            for _ in range(self._random.choice((1, 1, 4))):
                raw[self._random.randrange(len(raw))] = self._random.randrange(256)
            args[place] = bytes(raw)

    def _drop(self, args: list[bytes]) -> None:
        if args:
            del args[self._place(args)]

    def _add(self, args: list[bytes]) -> None:
        args.insert(self._place(args) + 1, self._random.choice(NASTY))

    def _swap(self, args: list[bytes]) -> None:
        self._random.shuffle(args)

    def _cut(self, args: list[bytes]) -> None:
        if args:
            place = self._place(args)
            args[place] = args[place][: self._random.randrange(len(args[place]) + 1)]

    def _json(self, args: list[bytes]) -> None:
        """Change one field of an object, keeping it JSON."""
        for place, raw in enumerate(args):
            if raw.startswith(b"{"):
                try:
                    value = json.loads(raw)
                except (ValueError, RecursionError):
                    continue
                if value:
                    value[self._random.choice(sorted(value))] = self._random.choice(ODD_VALUES)
                    args[place] = json.dumps(value).encode()

    def _nest(self, args: list[bytes]) -> None:
        if args:
            place = self._place(args)
            args[place] = b'{"a":[' + args[place] + b"]}"


ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**63 - 1, 2**63, 2**64, 10**30, 1.5, float("nan"), float("inf"), "", "x", "\0", "\n", "é",
    "a" * 3000, [], [[]], {}, {"a": {}}, [None] * 600, "Org1MSP", "treasury", "0" * 64,
)  # fmt: skip


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
