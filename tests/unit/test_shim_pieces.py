"""What the served shim is fast with: one timer for all calls, lines of the log written together."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Callable

import pytest

from chaincode.shim.deadlines import Deadlines
from chaincode.shim.logs import Format, Lines

LIMIT = 0.1


async def call(deadlines: Deadlines, seconds: float) -> float:
    """How long a call of so many seconds took, below zero if its time ran out."""
    began = time.monotonic()
    with deadlines.limit() as limit:
        try:
            async with limit:
                await asyncio.sleep(seconds)
        except TimeoutError:
            assert limit.expired()
            return began - time.monotonic()
    return time.monotonic() - began


def test_every_call_has_its_own_time_limit() -> None:
    async def calls() -> list[float]:
        deadlines, tasks = Deadlines(LIMIT), []
        for seconds in (60, 0.01, 60, 0, 60):
            tasks.append(asyncio.create_task(call(deadlines, seconds)))
            await asyncio.sleep(LIMIT / 3)
        return await asyncio.gather(*tasks)

    took = asyncio.run(calls())
    assert [seconds < 0 for seconds in took] == [True, False, True, False, True]
    assert all(LIMIT <= -seconds < 3 * LIMIT for seconds in took[::2])


def test_a_call_that_will_not_end_keeps_no_later_one_from_its_limit() -> None:
    async def stubborn(done: asyncio.Event) -> None:
        try:
            await done.wait()
        finally:
            await done.wait()

    async def limited(deadlines: Deadlines, done: asyncio.Event) -> None:
        with deadlines.limit() as limit:
            async with limit:
                await stubborn(done)

    async def calls() -> float:
        deadlines, done = Deadlines(LIMIT), asyncio.Event()
        first = asyncio.create_task(limited(deadlines, done))
        await asyncio.sleep(2 * LIMIT)
        later = await call(deadlines, 60)
        done.set()
        with pytest.raises(TimeoutError):
            await first
        return later

    assert asyncio.run(calls()) < 0


def test_time_limits_work_in_one_event_loop_after_the_other() -> None:
    deadlines = Deadlines(LIMIT)
    assert asyncio.run(call(deadlines, 60)) < 0
    assert asyncio.run(call(deadlines, 0)) >= 0
    assert asyncio.run(call(deadlines, 60)) < 0


@pytest.fixture
def logged() -> Callable[[Format], tuple[logging.Logger, io.StringIO]]:
    def make(form: Format) -> tuple[logging.Logger, io.StringIO]:
        stream, logger = io.StringIO(), logging.Logger("test")
        logger.addHandler(Lines(stream, form))
        return logger, stream

    return make


def test_a_warning_is_written_at_once_and_takes_earlier_lines_along(
    logged: Callable[[Format], tuple[logging.Logger, io.StringIO]],
) -> None:
    logger, stream = logged("text")
    logger.info("first")
    logger.warning("second %d", 2)
    lines = stream.getvalue().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["INFO first", "WARNING second 2"]


def test_a_line_of_the_log_is_written_soon(
    logged: Callable[[Format], tuple[logging.Logger, io.StringIO]],
) -> None:
    logger, stream = logged("text")
    for number in range(3):
        logger.info("line")
        end = time.monotonic() + 5
        while stream.getvalue().count("\n") <= number:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_json_lines_have_a_calls_fields_and_an_errors_traceback(
    logged: Callable[[Format], tuple[logging.Logger, io.StringIO]],
) -> None:
    logger, stream = logged("json")
    logger.info("as text", extra={"fields": {"transaction": "Small:get", "status": 200}})
    try:
        raise KeyError("key")
    except KeyError:
        logger.exception("it failed")
    call, error = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (call["level"], call["transaction"], call["status"]) == ("info", "Small:get", 200)
    assert error["message"].startswith("it failed\nTraceback")
    assert call["time"] <= error["time"]
