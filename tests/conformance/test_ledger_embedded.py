"""The ledger suite on the embedded ledger, and what only that one has."""

from __future__ import annotations

import asyncio

import pytest
from counter import create
from ledger_suite import LedgerSuite, Site, fails, key

from fl_client.errors import Refused
from fl_client.ledger.base import Ledger
from fl_client.ledger.embedded import BlockRecord, EmbeddedIdentities, EmbeddedLedger, EmbeddedNetwork

__all__ = ["key"]

ORGANISATIONS = ("Org1MSP", "Org2MSP", "Org3MSP")


class EmbeddedSite(Site):
    organisations = ORGANISATIONS

    def __init__(self) -> None:
        self.network = EmbeddedNetwork({each: create(each) for each in ORGANISATIONS})
        self.identities = EmbeddedIdentities()

    def ledger(self, organisation: str = "", role: str = "client") -> Ledger:
        identity = self.identities.issue(organisation or ORGANISATIONS[0], "User1", role)
        return EmbeddedLedger(self.network, identity)

    def stop(self, organisation: str) -> None:
        self.network.offline.add(organisation)

    def start(self, organisation: str) -> None:
        self.network.offline.discard(organisation)


@pytest.fixture
def site() -> EmbeddedSite:
    return EmbeddedSite()


class TestEmbeddedLedger(LedgerSuite):
    """Everything in LedgerSuite."""

    def test_blocks_are_chained_and_name_who_endorsed(self, site: EmbeddedSite, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            await ledger.submit("Counter:put", key, "1")
            await ledger.submit("Counter:lie-at", "Org3MSP", key, "2")
            blocks = [BlockRecord.from_bytes(raw) async for raw in ledger.blocks()]
            assert [each.number for each in blocks] == [0, 1, 2]
            for before, after in zip(blocks, blocks[1:], strict=False):
                assert after.previous == before.hash()
            endorsers = [each.transactions[0].endorsers for each in blocks[1:]]
            assert endorsers == [ORGANISATIONS, ("Org1MSP", "Org2MSP")]

        site.run(check)

    def test_a_stranger_is_not_admitted(self, site: EmbeddedSite, key: str) -> None:
        async def body() -> None:
            async with site.ledger("EvilMSP") as ledger:
                error = await fails(Refused, ledger.submit("Counter:put", key, "v"))
                assert (error.code, error.final) == (403, True)

        asyncio.run(body())

    def test_a_renewed_certificate_is_the_same_member(self, site: EmbeddedSite) -> None:
        first = site.identities.issue("Org1MSP", "User1")
        renewed = site.identities.issue("Org1MSP", "User1", key=first.private_key)
        assert renewed.certificate != first.certificate
        assert renewed.member_id == first.member_id
