"""Seconds between two checkpoints, where the job leaves them to us."""

import math

import pytest

from ultrathink_trainer.checkpoint.interval import FIRST_SECONDS, NODE_SECONDS, STALL_SHARE, History, interval

HOUR, DAY = 3_600.0, 86_400.0
MOST = HOUR


NONE = History()


def seconds(stall: float | None, history: History = NONE, *, nodes: int = 1, running: float = 0.0) -> float:
    return interval(stall, history, nodes=nodes, running=running, most=MOST)


def test_a_first_save_comes_soon_to_show_what_saving_costs() -> None:
    assert seconds(None) == FIRST_SECONDS
    assert interval(None, History(), nodes=1, running=0.0, most=20.0) == 20.0


def test_it_is_what_loses_least_time_by_trying_all() -> None:
    """Saving every t seconds costs stall / t and, at each failure, half of t."""
    stall, failures, age, nodes = 0.5, 11, 2 * DAY, 256
    rate = (failures + 1) / (age + NODE_SECONDS / nodes)
    best = min(range(1, 3_600), key=lambda t: stall / t + rate * t / 2)
    assert seconds(stall, History(failures, age), nodes=nodes) == pytest.approx(best, abs=1)


def test_more_failures_and_more_nodes_shorten_it_and_time_without_one_lengthens_it() -> None:
    at = seconds(1.0, History(3, DAY), nodes=64)
    assert seconds(1.0, History(6, DAY), nodes=64) < at
    assert seconds(1.0, History(3, DAY), nodes=512) < at
    assert seconds(1.0, History(3, DAY), nodes=64, running=DAY) > at
    assert seconds(4.0, History(3, DAY), nodes=64) == pytest.approx(2 * at)


def test_saving_never_takes_more_than_its_share_and_never_waits_too_long() -> None:
    crowded = History(10_000, HOUR)
    assert seconds(2.0, crowded) == pytest.approx(2.0 / STALL_SHARE)
    assert seconds(1e-9, crowded) >= 1
    assert seconds(1e6) == MOST
    assert math.isfinite(seconds(0.0))
