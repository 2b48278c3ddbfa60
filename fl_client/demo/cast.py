"""Who plays in the demo: each client's behaviour, what the table calls it, and with whom it agrees.

Clients are dealt over the three organisations in turn, so that places three apart are colleagues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaincode.mechanisms import MECHANISMS
from fl_client import conduct
from fl_client.errors import BadInput
from fl_client.incentives.attackers import Coalition

ORGANISATIONS = 3
COPIES = "exact-copies"
NAMES = {(COPIES, True): "copied", (COPIES, False): "copier"}  # who leads a coalition, who follows


@dataclass(frozen=True)
class Part:
    """One client's part: its name in the table, its behaviour by name or import path, and the places of those it
    agrees with, the one that leads first."""

    name: str
    behaviour: str
    coalition: tuple[int, ...] = ()


def cheats(mechanism: str, clients: int) -> list[str]:
    """The last clients' behaviours where nobody asked for others.

    One answers at random, one uses a tenth of its data. From six clients on one copies: a colleague's report where
    reports come before anything public could be copied, the global model where they come in every round.
    """
    few = ["random", "data-10"]
    if clients < 2 * ORGANISATIONS:
        return few
    if not MECHANISMS[mechanism].vests:
        return ["copy-global", *few]
    between = ["honest"] * (ORGANISATIONS - 1)
    return [COPIES, *between, COPIES, *few]


def parts(behaviours: Sequence[str], clients: int) -> list[Part]:
    """Everybody's part: `behaviours` are those of the last clients, the first ones are honest.

    Clients of one coalition agree with each other. BadInput: a behaviour that nobody knows, or a coalition of one.
    """
    played = ["honest"] * (clients - len(behaviours)) + list(behaviours)
    return [_part(place, played) for place in range(len(played))]


def _part(place: int, played: Sequence[str]) -> Part:
    kind = played[place]
    name = kind.rpartition(":")[2]  # of an import path the class
    if not isinstance(conduct.named(kind), Coalition):
        return Part(name, kind)
    together = tuple(other for other, each in enumerate(played) if each == kind)
    if len(together) < 2:
        raise BadInput(f"{kind} is a coalition, and only one client plays it", "Name it twice or more")
    return Part(NAMES.get((kind, place == together[0]), name), kind, together)
