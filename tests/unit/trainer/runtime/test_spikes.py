"""A loss that leaps is told, one that wanders is not."""

import math

from ultrathink_trainer.supervisor.spikes import LEAPS_TO_STAY, STEPS_TO_LEARN, Spikes


def learned(losses: list[float]) -> Spikes:
    made = Spikes()
    assert [made.take(loss) for loss in losses] == [None] * len(losses)
    return made


def wandering(steps: int) -> list[float]:
    """A loss as they are: it falls, with noise."""
    return [2 + 4 * math.exp(-step / 40) + 0.05 * math.sin(step * 1.7) for step in range(steps)]


def test_a_loss_that_falls_with_noise_is_no_spike() -> None:
    learned(wandering(500))


def test_a_leap_is_told_with_what_it_left() -> None:
    made = learned(wandering(300))
    left = made.take(6.0)
    assert left is not None and 1.9 < left < 2.2
    assert made.take(6.0) is not None, "a leap teaches nothing"
    assert made.take(2.05) is None


def test_a_loss_that_stays_up_is_told_some_times_and_then_is_the_level() -> None:
    made = learned(wandering(300))
    told = [made.take(6.0 + 0.05 * math.sin(step)) for step in range(300)]
    assert [mean is not None for mean in told] == [True] * (LEAPS_TO_STAY - 1) + [False] * (301 - LEAPS_TO_STAY)
    assert made.take(12.0) is not None, "from there a leap is one again"


def test_nothing_is_said_while_there_is_nothing_to_compare_with() -> None:
    made = learned([1.0] * (STEPS_TO_LEARN - 1))
    assert made.take(100.0) is None


def test_a_step_without_a_loss_is_no_spike() -> None:
    assert learned(wandering(100)).take(None) is None
