"""What a contract does through its stub, asked for by a fake peer: requests, answers, batches, refusals, defects."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from shim_served import Scene, offer, play

from chaincode.shim import composite_key
from chaincode.shim.protos import chaincodes

pytestmark = pytest.mark.usefixtures("kind_of_stream")


def test_a_transaction_writes_answers_and_sends_its_event() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx1", "Assets:put", "a", b"\xff\x00")
        assert (response.status, response.payload) == (200, b'"tx1"')
        assert at.peer.state == {"a": b"\xff\x00"}
        assert at.peer.events == {"tx1": ("put", b"a")}
        assert (await at.peer.invoke("tx2", "get", "a")).payload == b"\xff\x00"
        assert (await at.peer.invoke("tx3", "get", "b")).payload == b""

    play(act)


def test_the_stub_knows_who_calls_what() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "who")
        expected = ["Org1MSP", "User1@org1.test", "example", "candor", "1700000000"]
        assert json.loads(response.payload) == expected

    play(act)


@pytest.mark.parametrize("writes", [0, 1000])
def test_every_other_request_of_the_stub_reaches_the_peer(writes: int) -> None:
    async def act(at: Scene) -> None:
        key = composite_key("colour", "red", "1")
        private = {"~pair|k": b"before", "~pair|old": b"1"}
        policies = {"k|VALIDATION_PARAMETER": b"before"}
        at.peer.state.update({"p1": b"1", "p2": b"2", key: b"x"} | private | policies)
        response = await at.peer.invoke("tx", "rest")
        found = json.loads(response.payload)
        assert found["private"] == "b'before'"
        assert (found["hash"], found["policy"], found["none"]) == (32, "b'before'", None)
        assert found["history"][0] == "Modification(tx_id='tx2', value=None, timestamp=0)"
        assert found["history"][1] == "Modification(tx_id='tx1', value=b'1', timestamp=7)"
        assert (found["composites"], found["invoked"]) == ([key], [200, "other/channel2 do it"])
        after = {"~pair|k": b"secret", "k|VALIDATION_PARAMETER": b"policy"}
        assert at.peer.state == {"p2": b"2", key: b"x"} | after
        assert at.peer.requests.count("WRITE_BATCH_STATE") == (1 if writes else 0)

    play(act, ready=offer(writes))


def test_pages_continue_at_their_bookmark() -> None:
    async def act(at: Scene) -> None:
        at.peer.state.update({"p1": b"1", "p2": b"2", "p3": b"3"})
        response = await at.peer.invoke("tx", "pages")
        assert json.loads(response.payload) == [["p1", "p2"], "p3", ["p3"]]

    play(act)


@pytest.mark.parametrize("order", [["put", "page"], ["page", "put"]], ids="-".join)
def test_a_paginated_query_and_a_write_do_not_go_together(order: list[str]) -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "forbidden", order)
        assert (response.status, response.message[:5]) == (500, "peer:")
        assert at.peer.state == {}

    play(act)


def test_a_range_of_250_keys_comes_in_three_batches() -> None:
    async def act(at: Scene) -> None:
        at.peer.state.update({f"k{n:03}": b"v" for n in range(250)})
        response = await at.peer.invoke("tx", "list", "k")
        assert json.loads(response.payload) == sorted(at.peer.state)
        assert at.peer.requests == ["GET_STATE_BY_RANGE", "QUERY_STATE_NEXT", "QUERY_STATE_NEXT"]

    play(act)


def test_a_refusal_reaches_the_caller_as_json_and_without_an_event() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "refuse")
        assert response.status == 409
        assert response.message == '{"code":409,"details":{"phase":"reveal"},"message":"not now"}'
        assert at.peer.events == {}

    play(act)


@pytest.mark.parametrize("call", [("crash", "hunter2"), ("leave",)], ids=["KeyError", "SystemExit"])
def test_an_exception_is_a_500_at_once_and_its_log_quotes_nothing(
    call: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", *call)
        assert (response.status, response.message) == (500, "internal error")
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200

    with caplog.at_level(logging.DEBUG, "chaincode.shim"):
        play(act)
    assert "shim_served.py" in caplog.text
    assert "hunter2" not in caplog.text


def test_two_transactions_of_one_stream_interleave() -> None:
    async def act(at: Scene) -> None:
        waiting = await at.peer.start("tx1", "wait")
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200
        assert not waiting.done()
        at.contract.gate.set()
        assert (await waiting).payload == b'"waited"'

    play(act)


def test_a_hundred_concurrent_transactions_are_all_answered_right() -> None:
    async def act(at: Scene) -> None:
        calls = [at.peer.invoke(f"tx{n}", "put", f"k{n}", b"%d" % n) for n in range(100)]
        answers = await asyncio.gather(*calls)
        assert [json.loads(answer.payload) for answer in answers] == [f"tx{n}" for n in range(100)]
        assert at.peer.state == {f"k{n}": b"%d" % n for n in range(100)}

    play(act)


def test_requests_awaited_together_go_to_the_peer_one_by_one() -> None:
    async def act(at: Scene) -> None:
        at.peer.state.update(a=b"1", b=b"2")
        at.peer.hold = True
        answer = await at.peer.start("tx", "together", ["a", "b"])
        first = await at.peer.held.get()
        await asyncio.sleep(0.05)
        assert at.peer.held.empty()
        await at.peer.answer(first)
        await at.peer.answer(await at.peer.held.get())
        assert (await answer).payload == b'["1","2"]'

    play(act)


def test_the_peers_error_is_a_500_that_says_so() -> None:
    async def act(at: Scene) -> None:
        at.peer.failing = "GET_STATE failed"
        response = await at.peer.invoke("tx", "get", "a")
        assert (response.status, response.message) == (500, "peer: GET_STATE failed")

    play(act)


def test_a_late_answer_is_never_taken_for_the_next_requests() -> None:
    async def act(at: Scene) -> None:
        at.peer.hold = True
        response = await at.peer.invoke("tx", "impatient")
        assert response.status == 500
        assert "given up" in response.message

    play(act)


def test_a_call_past_its_deadline_is_answered() -> None:
    async def act(at: Scene) -> None:
        response = await at.peer.invoke("tx", "wait")
        assert response.status == 500
        assert response.message.startswith("deadline")
        at.peer.hold = True
        assert (await at.peer.invoke("tx2", "get", "a")).message.startswith("deadline")
        await at.peer.answer(await at.peer.held.get())  # too late, and harmless
        at.peer.hold = False
        assert (await at.peer.invoke("tx3", "get", "a")).status == 200

    play(act, deadline=0.1)


def test_batch_reads_are_used_only_when_the_peer_offers_them() -> None:
    offer = chaincodes.ChaincodeAdditionalParams(use_get_multiple_keys=True, max_size_get_multiple_keys=2)

    async def old(at: Scene) -> None:
        at.peer.state["a"] = b"1"
        assert (await at.peer.invoke("tx", "many", ["a", "b", "c"])).payload == b"[true,false,false]"
        assert at.peer.requests == ["GET_STATE"] * 3

    async def new(at: Scene) -> None:
        at.peer.state["c"] = b"1"
        assert (await at.peer.invoke("tx", "many", ["a", "b", "c"])).payload == b"[false,false,true]"
        assert at.peer.requests == ["GET_STATE_MULTIPLE"] * 2

    play(old)
    play(old, ready=b"\xff\xff")
    play(new, ready=offer.SerializeToString())


@pytest.mark.parametrize(("writes", "requests"), [(0, ["PUT_STATE"] * 5), (2, ["WRITE_BATCH_STATE"] * 3)])
def test_writes_go_together_only_when_the_peer_offers_that(writes: int, requests: list[str]) -> None:
    async def act(at: Scene) -> None:
        keys = ["a", "b", "c", "a", "d"]
        assert (await at.peer.invoke("tx", "fill", keys, b"v")).status == 200
        assert at.peer.state == {"a": b"v3", "b": b"v1", "c": b"v2", "d": b"v4"}
        assert at.peer.requests == requests

    play(act, ready=offer(writes))


def test_long_values_go_in_several_batches() -> None:
    async def act(at: Scene) -> None:
        assert (await at.peer.invoke("tx", "fill", ["a", "b", "c"], bytes(9 << 20))).status == 200
        assert at.peer.requests == ["WRITE_BATCH_STATE"] * 3
        assert {key: len(value) for key, value in at.peer.state.items()} == dict.fromkeys(
            "abc", (9 << 20) + 1
        )

    play(act, ready=offer(1000))


@pytest.mark.parametrize("writes", [0, 1000])
def test_a_refused_transaction_sends_no_writes_and_one_whose_writes_fail_is_a_500(writes: int) -> None:
    async def act(at: Scene) -> None:
        assert (await at.peer.invoke("tx", "refuse")).status == 409
        assert at.peer.requests == []
        at.peer.failing = "no more writes"
        response = await at.peer.invoke("tx2", "put", "a", b"1")
        assert (response.status, response.message) == (500, "peer: no more writes")
        assert at.peer.events == {}

    play(act, ready=offer(writes))


def test_a_result_longer_than_a_message_is_a_500_and_not_the_end_of_the_stream() -> None:
    async def act(at: Scene) -> None:
        assert (await at.peer.invoke("tx", "huge")).status == 500
        assert (await at.peer.invoke("tx2", "get", "a")).status == 200

    play(act)


def test_long_results_of_many_calls_at_once_all_arrive() -> None:
    async def act(at: Scene) -> None:
        sizes = [1 << 20, 1, 300_000] * 10
        answers = await asyncio.gather(
            *(at.peer.invoke(f"tx{n}", "long", size) for n, size in enumerate(sizes))
        )
        assert [len(answer.payload) for answer in answers] == sizes

    play(act)
