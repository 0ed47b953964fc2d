"""Every kind of event of every watch is lost, late, the last before silence, and so on; a life ends as it should."""

import asyncio
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from faults.operator.parts.proxy import EventRule
from faults.operator.parts.stage import Stage
from faults.operator.parts.sweep import Golden, chosen, disturbed, sweep
from ultrathink_operator import client, limits, reflect

KINDS = ("ultrathinkjobs", "statefulsets", "services", "pods")
TYPES = ("ADDED", "MODIFIED", "DELETED")
EFFECTS = {
    "lose": pytest.mark.fault("F09"),
    "silence": pytest.mark.fault("F08"),
    "delay": pytest.mark.fault("F10"),
    "travel": pytest.mark.fault("F10"),
    "break": pytest.mark.fault("F08"),
    "expire": pytest.mark.fault("F07"),
}
PACE = {
    "ultrathink_operator.reflect:AUDIT_S": 1.0,
    "ultrathink_operator.reflect:AUDIT_PATIENCE_S": 0.5,
    "ultrathink_operator.client:WATCH_SILENCE_S": 3.0,
}
"""Minutes of patience as seconds."""
LATE_S = 2.0
LIFE = "success"
POINTS = [(plural, kind) for plural, kind in product(KINDS, TYPES) if (plural, kind) != ("services", "MODIFIED")]


@pytest.mark.parametrize("effect", [pytest.param(name, marks=mark) for name, mark in EFFECTS.items()])
def test_a_watch_that_lies_costs_time_alone(
    plane: Any, golden: Callable[[str], Golden], everything: bool, seed: int, effect: Any
) -> None:
    known = golden(LIFE)

    async def play(point: tuple[str, str]) -> bool:
        rule = EventRule(lambda plural, event: (plural, event["type"]) == point, effect, LATE_S)

        def disturb(one: Stage) -> None:
            one.proxy.events.append(rule)

        await disturbed(plane, LIFE, known, disturb, PACE)
        return rule.hits > 0

    played = chosen(POINTS, everything, seed + sorted(EFFECTS).index(effect))
    failed = asyncio.run(sweep(played, play))
    print(f"{LIFE}: {effect} at {len(played)} of {len(POINTS)} kinds of event, seed {seed}")
    assert not failed, "\n\n".join(failed)


@pytest.mark.fault("F09")
def test_a_lost_event_is_found_within_a_minute() -> None:
    longest = reflect.AUDIT_S * (1 + limits.jittered.__defaults__[0]) + reflect.AUDIT_PATIENCE_S
    assert longest <= 60


@pytest.mark.fault("F08")
def test_a_silent_watch_is_left_after_seventy_seconds() -> None:
    assert client.WATCH_SILENCE_S <= 70
