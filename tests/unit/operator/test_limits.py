"""Requests are slowed, never lost, and retries spread out."""

import asyncio
import time

import pytest

from ultrathink_operator.limits import Backoff, Limiter, heard_within, jittered


def test_a_backoff_doubles_up_to_its_limit_and_starts_again() -> None:
    backoff = Backoff(first=1, most=8)
    waits = [backoff.next() for _ in range(6)]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, (1, 2, 4, 8, 8, 8), strict=True))
    backoff.reset()
    assert backoff.next() <= 1


def test_a_burst_goes_out_and_the_next_one_owes() -> None:
    limiter = Limiter(rate=0.001, burst=2)
    assert [limiter.try_now() for _ in range(3)] == [True, True, False]


async def test_everybody_heeds_a_pause() -> None:
    limiter = Limiter(rate=1000, burst=1000)
    limiter.pause(0.2)
    started = time.monotonic()
    await limiter.wait()
    assert time.monotonic() - started >= 0.19


async def test_who_has_a_line_of_his_own_waits_for_no_tokens_but_heeds_the_pause() -> None:
    crowded = Limiter(rate=0.001, burst=1)
    ahead = Limiter(rate=1000, burst=1000, beside=crowded)
    assert [crowded.try_now(), crowded.try_now(), ahead.try_now()] == [True, False, True]
    crowded.pause(0.2)
    started = time.monotonic()
    await ahead.wait()
    assert time.monotonic() - started >= 0.19


def test_jitter_stays_within_its_share() -> None:
    assert all(9 <= jittered(10) <= 11 for _ in range(100))


async def test_a_wait_that_is_cancelled_as_the_event_comes_is_cancelled() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(heard_within(event, 60))
    await asyncio.sleep(0)
    event.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
