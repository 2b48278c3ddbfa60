"""Whether the orderers follow one another, which their good health does not say.

An orderer of Fabric 2.5.0 that applies a change of the cluster while it starts on a busy machine may lock
up for good, its ``/healthz`` still OK (fabric #4199, mended in later releases). Its height gives it away.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from collections.abc import Callable

from network.errors import NetworkError
from network.identities import Identities
from network.plan import Plan
from network.ports import Ports
from network.steps import each
from network.topology import Topology

_STANDS_STILL = 8.0  # seconds behind the others without a new block
_PATIENCE = 90.0


def follow(plan: Plan, identities: Identities) -> None:
    """Return when every orderer has all blocks; one that stands still is ended, its keeper starts it again.

    Raises NetworkError when that did not help.
    """
    await_all(
        lambda: heights(plan.topology, plan.ports, identities),
        lambda index: _replace(plan, index),
    )


def await_all(
    heights: Callable[[], list[int]],
    replace: Callable[[int], None],
    *,
    still: float = _STANDS_STILL,
    patience: float = _PATIENCE,
) -> None:
    """Ask for everybody's ``heights`` until they are equal; ``replace`` who is behind for ``still`` seconds.

    ``heights`` gives -1 for one that does not answer. Raises NetworkError after ``patience`` seconds.
    """
    end = time.monotonic() + patience
    since: dict[tuple[int, int], float] = {}  # (orderer, height) -> when it was first seen behind there
    while len(set(known := heights())) > 1 or -1 in known:
        now = time.monotonic()
        if now > end:
            raise NetworkError(
                f"the orderers do not follow one another (blocks: {known}) within {patience:g} s",
                "Look into the orderers' logs",
            )
        behind = {(index, blocks) for index, blocks in enumerate(known) if blocks < max(known)}
        since = {place: since.get(place, now) for place in behind}
        for place in [place for place, first in since.items() if now - first > still]:
            replace(place[0])
            del since[place]
        time.sleep(0.1)


def heights(topology: Topology, ports: Ports, identities: Identities) -> list[int]:
    """How many blocks of the channel each orderer has; -1 for one that does not answer."""

    def ask(index: int) -> int:
        return height(identities, index, ports.address(f"orderer{index}/admin"), topology.channel)

    return each(ask, range(topology.orderers.count))


def height(identities: Identities, index: int, address: str, channel: str) -> int:
    """How many blocks of the channel an orderer has, by its own administration; -1 without an answer."""
    tls = identities.orderer(index) / "tls"
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    context.load_cert_chain(tls / "server.crt", tls / "server.key")
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    url = f"https://{address}/participation/v1/channels/{channel}"
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=5) as answer:
            return int(json.load(answer)["height"])
    except (OSError, ValueError, KeyError):
        return -1


def _replace(plan: Plan, index: int) -> None:
    plan.progress(f"orderer{index}: stands still behind the others, starting it again")
    plan.keeper.restart(f"orderer{index}")
