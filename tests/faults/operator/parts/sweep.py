"""Plays one life again and again, each time with one disturbance more or elsewhere, several namespaces at once."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from faults.operator.parts.lives import LIVES, Compare, Record, Snapshots
from faults.operator.parts.proxy import Kill, Rule
from faults.operator.parts.stage import Stage, stage

AT_ONCE = 2 * (os.cpu_count() or 1)
"""A life mostly waits: for a start, for garbage collection."""
SHARE = 0.1
"""Of all points, when not all are asked for."""
TRIES = 3
"""A life need not show each kind of event."""

Point = TypeVar("Point")


@dataclass(frozen=True)
class Golden:
    """An undisturbed life: what the world looked like at its gates, and the mutating calls r1 to rN."""

    snapshots: Snapshots
    calls: tuple[str, ...]


async def record(plane: Any, life: str) -> Golden:
    keep = Record()
    async with stage(plane) as one:
        await LIVES[life](one, keep)
        one.check()
        return Golden(keep.snapshots, tuple(map(str, one.proxy.mutations)))


async def kill_at(plane: Any, life: str, golden: Golden, call: int, when: Literal["before", "after"]) -> bool:
    """The operator is killed at its n-th mutating call, and another one started.

    A life has a status write more or less from run to run: where it ended before that call, its last call is next.
    """
    rule = Rule(lambda c: c.mutates, Kill(when), skip=call - 1)
    made = await disturbed(plane, life, golden, lambda one: one.proxy.rules.append(rule))
    return rule.hits > 0 or await kill_at(plane, life, golden, made, when)


async def disturbed(
    plane: Any, life: str, golden: Golden, disturb: Callable[[Stage], None], pace: dict[str, float] | None = None
) -> int:
    """One life that must come to the golden states in spite of what `disturb` arranged; how many calls mutated."""
    async with stage(plane, start=False, pace=pace) as one:
        disturb(one)
        await one.begin()
        await LIVES[life](one, Compare(golden.snapshots))
        one.check()
        return len(one.proxy.mutations)


async def sweep(points: Sequence[Point], play: Callable[[Point], Awaitable[bool]]) -> list[str]:
    """What went wrong, point by point."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(point: Point) -> str:
        async with room:
            try:
                for _ in range(TRIES):
                    if await play(point):
                        return ""
                return f"{point}: was never reached"
            except AssertionError as error:
                return f"{point}: {error}"

    return [told for told in await asyncio.gather(*map(one, points)) if told]


def chosen(points: Sequence[Point], everything: bool, seed: int) -> list[Point]:
    """All of them, or a seeded tenth."""
    if everything:
        return list(points)
    return random.Random(seed).sample(list(points), max(1, round(len(points) * SHARE)))
