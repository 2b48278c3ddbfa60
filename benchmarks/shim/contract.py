"""The contract that is measured, in Python; node/small.js is the same for Node."""

from __future__ import annotations

from chaincode.shim import Chaincode, Contract, Stub, query, transaction

VALUE = b"v" * 100
READ, LISTED = 10, 100  # keys that ``ten`` reads, and that ``range`` finds


class Small(Contract):
    """Next to no work of its own: what it costs is the shim."""

    @transaction
    async def fill(self, stub: Stub) -> None:
        """The keys the others read."""
        for number in range(LISTED):
            await stub.put(f"listed/{number:03}", VALUE)
        for number in range(READ):
            await stub.put(f"read/{number}", VALUE)

    @query
    async def get(self, stub: Stub, key: str) -> bytes | None:
        """One key's value."""
        return await stub.get(key)

    @transaction
    async def put(self, stub: Stub, key: str, value: str) -> None:
        """Set one key."""
        await stub.put(key, value.encode())

    @transaction
    async def ten(self, stub: Stub, name: str) -> None:
        """Ten gets, then ten puts under ``name``."""
        for number in range(READ):
            await stub.get(f"read/{number}")
        for number in range(READ):
            await stub.put(f"{name}/{number}", VALUE)

    @query
    async def range(self, stub: Stub) -> bytes:
        """How many keys a range of 100 has."""
        return b"%d" % len([key async for key, _ in stub.prefix("listed/")])


def create() -> Chaincode:
    """For ``python -m chaincode.shim``."""
    return Chaincode([Small()])
