"""The planner's memory is what torch's own tracker counts; fifty jobs are compared by `python -m bench.planner`."""

import pytest

from distributed.memories import compare, drawn

CLOSE = 0.05


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_step_is_as_full_as_planned_and_nothing_fits_that_does_not(seed: int) -> None:
    found = compare(*drawn(seed))
    assert found.planned == pytest.approx(found.tracked, rel=CLOSE)
    assert not found.false_fits()
