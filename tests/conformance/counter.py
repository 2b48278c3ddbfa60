"""A chaincode with something of everything a ledger has to get right: what the ledger suite runs.

Served to Fabric by ``python -m chaincode.shim counter:create`` with this directory on the path.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from chaincode.shim import Chaincode, Contract, Refusal, Stub, query, transaction


class Counter(Contract):
    """Runs at organisation ``here``; the methods ending in ``_at`` go wrong only there."""

    def __init__(self, here: str) -> None:
        self.here = here

    @transaction
    async def put(self, stub: Stub, key: str, value: str) -> str:
        await stub.put(key, value.encode())
        return value

    @query
    async def get(self, stub: Stub, key: str) -> str | None:
        value = await stub.get(key)
        return None if value is None else value.decode()

    @query
    async def echo(self, stub: Stub, text: str, raw: bytes, number: int, parts: dict[str, int]) -> bytes:
        return repr((text, raw, number, parts)).encode()

    @transaction
    async def increment(self, stub: Stub, key: str) -> int:
        value = int(await stub.get(key) or b"0") + 1
        await stub.put(key, str(value).encode())
        return value

    @query
    async def range(self, stub: Stub, start: str, end: str) -> dict[str, str]:
        return {key: value.decode() async for key, value in stub.range(start, end)}

    @transaction
    async def append(self, stub: Stub, prefix: str) -> int:
        """Writes the next key after all those it sees: concurrent ones are phantoms to each other."""
        count = len([key async for key, _ in stub.prefix(f"{prefix}/")])
        await stub.put(f"{prefix}/{count:04}/{stub.tx_id}", b"1")
        return count

    @transaction
    async def refuse(self, stub: Stub, key: str, code: int) -> None:
        await stub.put(key, b"must not be written")
        raise Refusal(code, "as you asked", key=key, code=code)

    @transaction
    async def announce(self, stub: Stub, name: str, payload: bytes) -> None:
        await stub.put(f"announced/{name}", payload or b"-")
        stub.set_event(name, payload)

    @transaction
    async def announce_once(self, stub: Stub, key: str, name: str) -> None:
        """Of two concurrent ones, one is invalid: its event never happened."""
        await stub.put(key, (await stub.get(key) or b"") + b"x")
        stub.set_event(name, stub.tx_id.encode())

    @transaction
    async def crash(self, stub: Stub) -> None:
        raise KeyError("boom")

    @transaction(transient=["secret"])
    async def digest_transient(self, stub: Stub, key: str) -> str:
        digest = hashlib.sha256(stub.transient["secret"]).hexdigest()
        await stub.put(key, digest.encode())
        return digest

    @query
    async def whoami(self, stub: Stub) -> dict[str, Any]:
        me = stub.creator
        return {
            "member": f"{me.msp_id}:{me.key_sha256}",
            "name": me.common_name,
            "roles": sorted(me.roles),
            "channel": stub.channel,
            "chaincode": stub.chaincode,
        }

    @transaction
    async def disagree(self, stub: Stub, key: str) -> str:
        """Nowhere the same."""
        await stub.put(key, self.here.encode())
        return self.here

    @transaction
    async def lie_at(self, stub: Stub, organisation: str, key: str, value: str) -> str:
        await stub.put(key, (value if self.here != organisation else "a lie").encode())
        return value

    @query
    async def answer_otherwise_at(self, stub: Stub, organisation: str) -> str:
        return "a lie" if self.here == organisation else "the truth"

    @transaction
    async def refuse_at(self, stub: Stub, organisations: list[str], code: int, key: str) -> None:
        if self.here in organisations:
            raise Refusal(code, "not here", here=self.here)
        await stub.put(key, b"written")

    @transaction
    async def crash_at(self, stub: Stub, organisation: str, key: str) -> None:
        if self.here == organisation:
            raise KeyError("boom")
        await stub.put(key, b"written")


def create(here: str | None = None) -> Chaincode:
    """The chaincode at organisation ``here``; by default the one in the server's settings file."""
    if here is None:
        here = str(json.loads(Path(os.environ["CANDOR_CHAINCODE_SETTINGS"]).read_text())["msp_id"])
    return Chaincode([Counter(here)])
