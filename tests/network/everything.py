"""A contract that uses every call of the stub: it must not matter which ledger is below."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from fabric_protos.common import policies_pb2 as policies
from fabric_protos.msp import msp_principal_pb2 as principals

from chaincode.shim import Contract, PeerError, Stub, composite_key, query, split_composite_key, transaction
from chaincode.shim.errors import Conflict


def member(msp_id: str) -> bytes:
    """The policy that one member of this MSP has signed."""
    role = principals.MSPRole(msp_identifier=msp_id).SerializeToString()
    rule = policies.SignaturePolicy(
        n_out_of=policies.SignaturePolicy.NOutOf(n=1, rules=[policies.SignaturePolicy(signed_by=0)])
    )
    signer = principals.MSPPrincipal(principal_classification="ROLE", principal=role)
    return bytes(policies.SignaturePolicyEnvelope(rule=rule, identities=[signer]).SerializeToString())


POLICIES = {"org1": member("Org1MSP"), "nobody": member("NobodyMSP")}  # who must endorse a key's change
COLLECTION = "_implicit_org_Org1MSP"  # every organisation has one without any configuration


class Everything(Contract):
    @transaction(transient=("secret",))
    async def seed(self, stub: Stub, count: int) -> int:
        for number in range(count):
            await stub.put(f"k{number:03}", b"%d" % number)
        for colour, name in (("red", "a"), ("red", "b"), ("redder", "c")):
            await stub.put(composite_key("colour", colour, name), name.encode())
        await stub.put("ö\U0001f600", b"\xff\x00raw")
        await stub.put("ö\uffff", b"before it, in UTF-16 after it")
        await stub.put_private(COLLECTION, "p", stub.transient["secret"])
        await stub.set_validation_parameter("k001", POLICIES["nobody"])
        stub.set_event("seeded", b"%d" % count)
        return count

    @transaction
    async def change(self, stub: Stub, key: str, value: str) -> list[str]:
        """Write and read again: the old value is what one sees."""
        await stub.put(key, value.encode())
        await stub.delete("k002")
        return [str(await stub.get(key)), str(await stub.get("k002"))]

    @query
    async def get(self, stub: Stub, key: str) -> bytes | None:
        return await stub.get(key)

    @query
    async def get_many(self, stub: Stub, keys: list[str]) -> list[str]:
        together = await asyncio.gather(*(stub.get(key) for key in keys))
        assert together == await stub.get_many(keys)
        return [str(value) for value in together]

    @query
    async def list(self, stub: Stub, start: str, end: str) -> list[str]:
        return [key async for key, _ in stub.range(start, end)]

    @query
    async def leave_early(self, stub: Stub) -> list[str]:
        found = []
        async for key, _ in stub.prefix("k"):
            found.append(key)
            if len(found) == 3:
                break
        return [*found, str(await stub.get("k000"))]

    @query
    async def composites(self, stub: Stub, colour: str) -> list[Any]:
        return [split_composite_key(key) async for key, _ in stub.composites("colour", colour)]

    @query
    async def page(self, stub: Stub, size: int, bookmark: str = "") -> list[Any]:
        found = await stub.page("k", "l", size, bookmark)
        return [[key for key, _ in found.items], found.bookmark]

    @transaction
    async def page_then_write(self, stub: Stub) -> None:
        await stub.page("k", "l", 2)
        await stub.put("k000", b"x")

    @query
    async def history(self, stub: Stub, key: str) -> list[str]:
        return [str(change.value) async for change in stub.history(key)]

    @query
    async def private(self, stub: Stub) -> list[str]:
        kept = [item async for item in stub.range_private(COLLECTION, "", "")]
        hashed = await stub.private_hash(COLLECTION, "p") or b""
        return [str(await stub.get_private(COLLECTION, "p")), hashed.hex(), str(kept)]

    @query
    async def policies(self, stub: Stub) -> list[str]:
        return [str(await stub.validation_parameter(key)) for key in ("k000", "k001", "nothing")]

    @query
    async def who(self, stub: Stub) -> list[Any]:
        """The creator, and what the call says of itself."""
        creator = stub.creator
        certificate = hashlib.sha256(creator.certificate).hexdigest()
        named = [creator.msp_id, creator.common_name, sorted(creator.roles), dict(creator.attributes)]
        return [*named, creator.key_sha256, creator.not_after, certificate, stub.chaincode, stub.channel]

    @transaction
    async def restrict(self, stub: Stub, key: str, policy: str) -> None:
        await stub.set_validation_parameter(key, POLICIES[policy])

    @transaction
    async def refuse(self, stub: Stub) -> None:
        await stub.put("never", b"written")
        raise Conflict("not now", at=1)

    @query
    async def write(self, stub: Stub) -> None:
        await stub.put("never", b"written")

    @query
    async def empty_key(self, stub: Stub) -> bytes | None:
        return await stub.get("")

    @transaction(transient=("secret",))
    async def forward(self, stub: Stub, name: str, channel: str, args: list[str]) -> list[Any]:
        """Call another chaincode between two writes of one's own."""
        await stub.put("forwarding", b"to " + name.encode())
        answer = await stub.invoke_chaincode(name, [arg.encode() for arg in args], channel)
        await stub.put("forwarded", answer.payload or b"nothing")
        return [answer.status, answer.message, answer.payload.decode()]

    @query
    async def rich(self, stub: Stub, caught: bool) -> list[str]:
        """A rich query, which needs CouchDB."""
        try:
            return [key async for key, _ in stub.rich_query('{"selector": {}}')]
        except PeerError:
            if caught:
                return ["refused"]
            raise

    @transaction
    async def script(self, stub: Stub, steps: list[list[str]]) -> list[Any]:
        """One step after the other; everything it has seen."""
        return [await self._step(stub, *step) for step in steps]

    async def _step(self, stub: Stub, verb: str, *words: str) -> Any:
        if verb == "get":
            return str(await stub.get(words[0]))
        if verb == "get-many":
            return [str(value) for value in await stub.get_many(words)]
        if verb == "put":
            return await stub.put(words[0], words[1].encode())
        if verb == "delete":
            return await stub.delete(words[0])
        found: list[str] = []
        async for key, value in stub.range(words[0], words[1]):
            found.append(f"{key}={value!r}")
            if len(found) == int(words[2]):
                break
        return found
