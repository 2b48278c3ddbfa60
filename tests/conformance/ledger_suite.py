"""What every Ledger does. A test class for an implementation inherits LedgerSuite and gives it a ``site``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from fl_client.errors import CandorError, Disagreement, NotStored, ReadConflict, Refused, Unavailable
from fl_client.ledger.base import Ledger

Check = Callable[[Ledger], Awaitable[Any]]


class Site(ABC):
    """Three organisations whose peers run tests/conformance/counter.py."""

    organisations: Sequence[str]

    @abstractmethod
    def ledger(self, organisation: str = "", role: str = "client") -> Ledger:
        """A ledger, not entered yet, for a client (or the admin) of an organisation (the first)."""

    @abstractmethod
    def stop(self, organisation: str) -> None:
        """Kill the organisation's peer."""

    @abstractmethod
    def start(self, organisation: str) -> None:
        """Bring it back."""

    def run(self, check: Check, organisation: str = "") -> Any:
        """Run ``check`` on an entered ledger, in a loop of its own."""

        async def body() -> Any:
            async with asyncio.timeout(100), self.ledger(organisation) as ledger:
                return await check(ledger)

        return asyncio.run(body())


@pytest.fixture
def key() -> str:
    """A key no other test uses: Fabric's network is shared."""
    return f"key-{secrets.token_hex(6)}"


def text(result: bytes) -> Any:
    """The JSON a contract returned; nothing stands for None."""
    return json.loads(result) if result else None


async def fails(kind: type[CandorError], work: Awaitable[Any]) -> Any:
    """The error of that very kind which ``work`` must raise."""
    with pytest.raises(kind) as caught:
        await work
    return caught.value


class LedgerSuite:
    """Inherit it, and define the fixture ``site``."""

    def test_what_is_submitted_can_be_read_at_once(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            receipt = await ledger.submit("Counter:put", key, "grün")
            assert text(receipt.payload) == "grün"
            assert len(receipt.tx_id) == 64
            assert text(await ledger.evaluate("Counter:get", key)) == "grün"
            assert await ledger.height() > receipt.block > 0

        site.run(check)

    def test_arguments_keep_their_types(self, site: Site) -> None:
        async def check(ledger: Ledger) -> None:
            result = await ledger.evaluate("Counter:echo", "é", b"\xff\x00", -7, {"b": 1, "a": 2})
            assert result == repr(("é", b"\xff\x00", -7, {"a": 2, "b": 1})).encode()

        site.run(check)

    def test_it_knows_who_it_is(self, site: Site) -> None:
        async def check(ledger: Ledger) -> None:
            me = text(await ledger.evaluate("Counter:whoami"))
            assert me["member"] == ledger.member_id
            assert ledger.member_id.startswith(ledger.msp_id + ":")
            assert me["roles"] == ["client"]
            assert (me["channel"], me["chaincode"]) == (ledger.channel, ledger.chaincode)
            assert sorted(ledger.organisations) == sorted(site.organisations)

        site.run(check)

    def test_an_admin_is_seen_as_one(self, site: Site) -> None:
        async def body() -> None:
            async with site.ledger(role="admin") as ledger:
                assert text(await ledger.evaluate("Counter:whoami"))["roles"] == ["admin"]

        asyncio.run(body())

    def test_ranges_come_in_order(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            for name in ("b", "a", "c"):
                await ledger.submit("Counter:put", f"{key}-{name}", name)
            found = text(await ledger.evaluate("Counter:range", f"{key}-a", f"{key}-c"))
            assert list(found.values()) == ["a", "b"]

        site.run(check)

    @pytest.mark.parametrize("code", [400, 403, 404, 409, 422, 425, 429])
    def test_a_refusal_is_typed_and_writes_nothing(self, site: Site, key: str, code: int) -> None:
        async def check(ledger: Ledger) -> None:
            error = await fails(Refused, ledger.submit("Counter:refuse", key, code))
            assert (error.code, error.message, error.details) == (
                code,
                "as you asked",
                {"key": key, "code": code},
            )
            assert error.final == (code in (400, 403, 422))
            assert text(await ledger.evaluate("Counter:get", key)) is None

        site.run(check)

    def test_a_query_is_refused_as_a_transaction_is(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            for ask in (ledger.evaluate, ledger.agree):
                assert (await fails(Refused, ask("Counter:refuse", key, 422))).code == 422

        site.run(check)

    def test_an_unknown_transaction_is_refused(self, site: Site) -> None:
        async def check(ledger: Ledger) -> None:
            assert (await fails(Refused, ledger.submit("Counter:nothing"))).code == 404
            assert (await fails(Refused, ledger.evaluate("Nobody:nothing"))).code == 404
            assert (await fails(Refused, ledger.submit("Counter:put", "too few"))).code == 400

        site.run(check)

    def test_a_chaincode_crash_is_an_error_and_not_a_hang(self, site: Site) -> None:
        async def check(ledger: Ledger) -> None:
            began = time.monotonic()
            error = await fails(Refused, ledger.submit("Counter:crash"))
            assert (error.code, error.final) == (500, False)
            assert "boom" not in str(error)
            assert time.monotonic() - began < 10

        site.run(check)

    def test_transient_values_reach_the_contract_and_no_block(self, site: Site, key: str) -> None:
        secret = b"secret " + os.urandom(12).hex().encode()

        async def check(ledger: Ledger) -> None:
            call = ledger.submit("Counter:digest-transient", key, transient={"secret": secret})
            receipt = await call
            assert text(receipt.payload) == hashlib.sha256(secret).hexdigest()
            raw = await ledger.block(receipt.block)
            assert hashlib.sha256(secret).hexdigest().encode() in raw
            assert secret not in raw
            unknown = ledger.submit("Counter:put", key, "v", transient={"secret": secret})
            assert (await fails(Refused, unknown)).code == 400

        site.run(check)

    def test_concurrent_increments_commit_or_conflict_and_the_sum_is_right(
        self, site: Site, key: str
    ) -> None:
        async def increment(ledger: Ledger) -> int:
            try:
                await ledger.submit("Counter:increment", key)
            except ReadConflict:
                return 0
            return 1

        async def check(ledger: Ledger) -> None:
            done = sum(await asyncio.gather(*(increment(ledger) for _ in range(8))))
            assert 1 <= done < 8
            assert text(await ledger.evaluate("Counter:get", key)) == str(done)
            assert await increment(ledger) == 1

        site.run(check)

    def test_a_phantom_is_a_read_conflict(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            calls = (ledger.submit("Counter:append", key) for _ in range(4))
            results = await asyncio.gather(*calls, return_exceptions=True)
            conflicts = [each for each in results if isinstance(each, ReadConflict)]
            kept = text(await ledger.evaluate("Counter:range", f"{key}/", f"{key}0"))
            assert conflicts
            assert len(kept) + len(conflicts) == 4

        site.run(check)

    def test_many_independent_transactions_at_once_all_commit(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            calls = (ledger.submit("Counter:put", f"{key}-{i}", str(i)) for i in range(60))
            receipts = await asyncio.gather(*calls)
            assert len({each.tx_id for each in receipts}) == 60

        site.run(check)

    def test_two_organisations_see_each_other(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            async with site.ledger(site.organisations[1]) as other:
                assert other.msp_id != ledger.msp_id
                await ledger.submit("Counter:put", key, "shared")
                while text(await other.evaluate("Counter:get", key)) is None:
                    assert await other.changed(5)

        site.run(check)

    def test_events_replay_from_a_block_and_go_on(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            names = [f"{key}-{i}" for i in range(3)]
            first = await ledger.submit("Counter:announce", names[0], b"\xffraw")
            await ledger.submit("Counter:announce", names[1], b"")
            events = ledger.events(first.block)
            seen = [await anext(events), await anext(events)]
            assert seen[0] == (first.block, first.tx_id, names[0], b"\xffraw")
            last = await ledger.submit("Counter:announce", names[2], b"x")
            seen.append(await anext(events))
            assert [each.name for each in seen] == names
            assert seen[2].tx_id == last.tx_id

        site.run(check)

    def test_events_without_a_start_begin_with_the_next_block(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            await ledger.submit("Counter:announce", f"{key}-old", b"")
            events = ledger.events()
            await ledger.submit("Counter:announce", f"{key}-new", b"")
            assert (await anext(events)).name == f"{key}-new"

        site.run(check)

    def test_an_invalid_transactions_event_never_comes(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            start = await ledger.height()
            calls = (ledger.submit("Counter:announce-once", key, key) for _ in range(4))
            results = await asyncio.gather(*calls, return_exceptions=True)
            valid = {each.tx_id for each in results if not isinstance(each, BaseException)}
            assert len(valid) < 4
            end = await ledger.submit("Counter:announce", f"{key}-end", b"")
            seen = set()
            async for event in ledger.events(start):
                if event.tx_id == end.tx_id:
                    break
                seen.add(event.tx_id)
            assert seen == valid

        site.run(check)

    def test_changed_wakes_for_a_block_and_not_without_one(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            await ledger.submit("Counter:put", key, "1")
            while await ledger.changed(0.5):
                pass
            waiting = asyncio.create_task(ledger.changed(20))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await ledger.submit("Counter:put", key, "2")
            assert await waiting

        site.run(check)

    def test_blocks_can_be_searched(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            receipt = await ledger.submit("Counter:put", key, "findme")
            raw = [block async for block in ledger.blocks()]
            assert len(raw) > receipt.block
            assert [number for number, block in enumerate(raw) if key.encode() in block] == [receipt.block]
            await fails(NotStored, ledger.block(len(raw) + 1000))

        site.run(check)

    def test_organisations_that_all_differ_are_a_disagreement(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            await fails(Disagreement, ledger.submit("Counter:disagree", key))
            await fails(Disagreement, ledger.agree("Counter:disagree", key))
            assert text(await ledger.evaluate("Counter:get", key)) is None
            assert text(await ledger.agree("Counter:get", key)) is None

        site.run(check)

    def test_a_lying_minority_stops_nothing(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            for liar in site.organisations:
                await ledger.submit("Counter:lie-at", liar, f"{key}-{liar}", "the truth")
                assert text(await ledger.agree("Counter:get", f"{key}-{liar}")) == "the truth"
                assert text(await ledger.agree("Counter:answer-otherwise-at", liar)) == "the truth"

        site.run(check)

    @pytest.mark.parametrize("code", [400, 403, 404, 422])
    def test_a_minoritys_refusal_is_not_the_networks(self, site: Site, key: str, code: int) -> None:
        async def check(ledger: Ledger) -> None:
            for one in site.organisations:
                await ledger.submit("Counter:refuse-at", [one], code, f"{key}-{one}")

        site.run(check)

    def test_a_majoritys_refusal_is(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            for left_out in site.organisations:
                most = [each for each in site.organisations if each != left_out]
                error = await fails(Refused, ledger.submit("Counter:refuse-at", most, 403, key))
                assert (error.code, error.final) == (403, True)

        site.run(check)

    def test_a_minoritys_crash_stops_nothing(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            for one in site.organisations:
                await ledger.submit("Counter:crash-at", one, f"{key}-{one}")

        site.run(check)

    def test_it_goes_on_without_one_peer(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            for down in site.organisations:  # the own peer too: blocks then come from another
                await asyncio.to_thread(site.stop, down)
                try:
                    await ledger.submit("Counter:put", key, down)
                    assert text(await ledger.evaluate("Counter:get", key)) == down
                    assert text(await ledger.agree("Counter:get", key)) == down
                finally:
                    await asyncio.to_thread(site.start, down)

        site.run(check)

    def test_without_a_majority_it_says_that_peers_are_missing(self, site: Site, key: str) -> None:
        async def check(ledger: Ledger) -> None:
            down = site.organisations[1:]
            for each in down:
                await asyncio.to_thread(site.stop, each)
            try:
                await fails(Unavailable, ledger.submit("Counter:put", key, "v"))
                assert text(await ledger.evaluate("Counter:get", key)) is None
                await fails(Unavailable, ledger.agree("Counter:get", key))
            finally:
                for each in down:
                    await asyncio.to_thread(site.start, each)
            await ledger.submit("Counter:put", key, "back")

        site.run(check)
