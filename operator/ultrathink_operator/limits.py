"""How fast requests go out and how soon they are tried again."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass


@dataclass
class _Pause:
    """What a server has asked for."""

    until: float = 0.0


class Limiter:
    """A token bucket for the whole process, or a second one `beside` it for what cannot wait in line. A server that
    says Retry-After is heeded by everybody."""

    def __init__(self, rate: float, burst: float, beside: "Limiter | None" = None) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, time.monotonic()
        self._pause = beside._pause if beside else _Pause()

    async def wait(self) -> None:
        """Until this request may go out; in the order of asking."""
        self._refill()
        self._tokens -= 1
        owed = -self._tokens / self._rate if self._tokens < 0 else 0.0
        await asyncio.sleep(max(owed, self._pause.until - time.monotonic(), 0))

    def try_now(self) -> bool:
        """Take a token if there is one."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def pause(self, seconds: float) -> None:
        self._pause.until = max(self._pause.until, time.monotonic() + seconds)

    def _refill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Backoff:
    """Waits that double up to a limit, spread so that many who failed together do not return together."""

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most, self._failures = first, most, 0

    def reset(self) -> None:
        self._failures = 0

    def next(self) -> float:
        delay = min(self._most, self._first * 2.0**self._failures)
        self._failures = min(self._failures + 1, 32)
        return delay * random.uniform(0.5, 1.0)


def jittered(seconds: float, share: float = 0.1) -> float:
    """About so long; asked together, answered apart."""
    return seconds * random.uniform(1 - share, 1 + share)


async def heard_within(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event is set, or the time is over. (`wait_for` may lose a cancellation that comes with the event.)"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
