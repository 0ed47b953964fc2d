"""The operator is killed before and after every mutating call of whole lives; each life still ends as it should."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest

from faults.operator.parts.lives import LIVES
from faults.operator.parts.sweep import Golden, chosen, kill_at, sweep

BOTH = (pytest.param("before", marks=pytest.mark.fault("F01")), pytest.param("after", marks=pytest.mark.fault("F02")))


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize(
    "when",
    [pytest.param("before", marks=pytest.mark.fault("F01")), pytest.param("after", marks=pytest.mark.fault("F02"))],
)
def test_killed_at_any_call_it_comes_to_the_golden_state(
    plane: Any,
    golden: Callable[[str], Golden],
    everything: bool,
    seed: int,
    life: str,
    when: Literal["before", "after"],
) -> None:
    known = golden(life)
    points = range(1, len(known.calls) + 1)
    played = chosen(points, everything, seed)
    failed = asyncio.run(sweep(played, lambda call: kill_at(plane, life, known, call, when)))
    print(f"{life}: N = {len(points)}, killed {when} {len(played)} of them, seed {seed}")
    assert not failed, "\n\n".join(failed)
