"""Which rank is slow, from what each computes by itself."""

from collections.abc import Sequence

import pytest

from ultrathink_trainer.stragglers import STEPS, Straggler, Stragglers


def told(found: Stragglers, seconds: Sequence[float], steps: int) -> tuple[list[Straggler], list[int]]:
    began: list[Straggler] = []
    ended: list[int] = []
    for _ in range(steps):
        more, fewer = found.take(seconds)
        began += more
        ended += fewer
    return began, ended


def test_a_slow_rank_is_told_once_with_what_its_peers_take() -> None:
    (slow,), ended = told(Stragglers(4, 1), [0.1, 0.1, 0.3, 0.1], 5 * STEPS)
    assert (slow.rank, slow.ratio, ended) == (2, pytest.approx(3.0), [])


def test_of_two_ranks_the_slower_one_is_told() -> None:
    (slow,), _ = told(Stragglers(2, 1), [0.1, 0.2], STEPS)
    assert slow.rank == 1


def test_one_long_step_makes_no_straggler() -> None:
    found = Stragglers(2, 1)
    assert told(found, [0.1, 0.1], STEPS) == ([], [])
    assert told(found, [0.1, 5.0], 1) == ([], [])
    assert told(found, [0.1, 0.1], STEPS - 2) == ([], [])


def test_one_that_is_as_fast_as_the_others_again_is_told_no_more() -> None:
    found = Stragglers(2, 1)
    told(found, [0.1, 0.3], STEPS)
    assert told(found, [0.1, 0.1], 4 * STEPS) == ([], [1])
    assert found.told == {}


def test_stages_of_a_pipeline_do_different_work_and_are_not_compared() -> None:
    found = Stragglers(4, 2)
    assert told(found, [0.1, 0.1, 0.4, 0.4], 2 * STEPS) == ([], [])
    assert found.ratio == pytest.approx(1.0)


def test_a_stage_of_one_rank_has_no_peers() -> None:
    found = Stragglers(2, 2)
    assert told(found, [0.1, 0.9], 2 * STEPS) == ([], [])
    assert found.ratio is None


def test_steps_of_milliseconds_make_no_straggler_by_noise() -> None:
    assert told(Stragglers(2, 1), [0.005, 0.015], 2 * STEPS) == ([], [])
