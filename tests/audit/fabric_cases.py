"""What is done to a Fabric network's evidence, and which classes must be named: for every test that has some."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fl_client.audit import Class
from tests.audit.fabric_forging import FabricForgery
from tests.audit.forging import edit_json

MVCC, DUPLICATE = 11, 9
Case = Callable[[FabricForgery], set[Class]]


def changed_score(forged: FabricForgery) -> set[Class]:
    """A settlement's score, everything hashed again."""
    place = forged.find("Settlement:settle")
    forged.edit_writes(place, lambda w: edit_json(w, "outcome/", lambda r: r.update(score=r["score"] + 1)))
    forged.seal_hashes()
    return {Class.SCORE, Class.CREATOR, Class.ENDORSEMENT, Class.ORDERER}


def extra_payment(forged: FabricForgery) -> set[Class]:
    """A credit that the settlement did not pay."""
    place = forged.find("Settlement:settle")
    key = f"credit/Org2MSP/{place.tx_id}/99"
    forged.edit_writes(place, lambda writes: writes.update({key: b'{"amount":5}'}))
    forged.seal_hashes()
    return {Class.PAYMENT, Class.ENDORSEMENT, Class.ORDERER}


def score_changed_in_an_unhashed_block(forged: FabricForgery) -> set[Class]:
    """The same without hashing again."""
    place = forged.find("Settlement:settle")
    forged.edit_writes(place, lambda w: edit_json(w, "outcome/", lambda r: r.update(score=r["score"] + 1)))
    return {Class.CHAIN, Class.SCORE}


def forged_block(forged: FabricForgery) -> set[Class]:
    """A block taken out and the rest hashed again: the orderers have not signed it."""
    del forged.chain[-1].data.data[:]
    forged.chain[-1].metadata.metadata[2] = b""
    forged.seal_hashes()
    return {Class.ORDERER}


def valid_marked_invalid(forged: FabricForgery) -> set[Class]:
    """A flag, which no hash and no signature covers."""
    forged.flag(forged.find("Rounds:commit"), MVCC)
    return {Class.VALIDITY}


def replayed(forged: FabricForgery) -> set[Class]:
    """A transfer that stands in a later block once more, marked valid."""
    place = forged.find("Token:transfer")
    last = forged.chain[-1]
    last.data.data.append(forged.chain[place.block].data.data[place.index])
    last.metadata.metadata[2] += b"\0"
    forged.seal_hashes()
    return {Class.DUPLICATE, Class.ORDERER}


def other_beacon(forged: FabricForgery) -> set[Class]:
    """Another signature where the sampling beacon was."""
    place = forged.find("Settlement:settle")

    def change(opened) -> None:
        given = msgspec.json.decode(opened.args[3])
        other = msgspec.json.decode(FabricArgs(forged).pairing())
        opened.args[3] = msgspec.json.encode({**given, "signature": other["signature"]})

    forged.edit(place, change)
    forged.seal_hashes()
    return {Class.BEACON, Class.CREATOR, Class.PROPOSAL}


def swapped_report(forged: FabricForgery) -> set[Class]:
    """Other bytes under a report's name."""
    name = FabricArgs(forged).report()
    forged.contents[name] = bytes(len(forged.contents[name]))
    return {Class.CONTENT, Class.MISSING}


def missing_report(forged: FabricForgery) -> set[Class]:
    """No bytes under a report's name."""
    del forged.contents[FabricArgs(forged).report()]
    return {Class.MISSING}


def too_few_endorsements(forged: FabricForgery) -> set[Class]:
    """One endorsement left of those a commit had."""

    def change(opened) -> None:
        del opened.body.action.endorsements[1:]

    forged.edit(forged.find("Rounds:commit"), change)
    forged.seal_hashes()
    return {Class.ENDORSEMENT}


class FabricArgs:
    """Arguments of the first transactions of a kind."""

    def __init__(self, forged: FabricForgery) -> None:
        self._forged = forged

    def _of(self, name: str, place: int) -> bytes:
        found: list[bytes] = []
        self._forged.edit(self._forged.find(name), lambda opened: found.append(bytes(opened.args[place])))
        return found[0]

    def pairing(self) -> bytes:
        """The pairing beacon."""
        return self._of("Rounds:pair", 3)

    def report(self) -> str:
        """A report's CID."""
        return self._of("Rounds:reveal", 3).decode()


CASES: list[Case] = [
    changed_score,
    extra_payment,
    score_changed_in_an_unhashed_block,
    forged_block,
    valid_marked_invalid,
    replayed,
    other_beacon,
    swapped_report,
    missing_report,
    too_few_endorsements,
]
