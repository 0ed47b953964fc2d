"""Waits for conditions, never for time alone: says what it waits for, and what it saw last when it gives up."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 1.0


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def wait_for(what: str, probe: Callable[[], T | None], within_s: float, seen: Callable[[], object] = lambda: "") -> T:
    """The first thing that `probe` answers that is true; `seen` tells what there is instead, should it never come."""
    say(f"waiting up to {within_s:.0f} s for {what}")
    started = time.monotonic()
    while True:
        found = probe()
        if found:
            say(f"  {what}: after {time.monotonic() - started:.1f} s")
            return found
        if time.monotonic() - started > within_s:
            raise AssertionError(f"not within {within_s:.0f} s: {what}; last seen: {seen()}")
        time.sleep(POLL_S)
