"""The learning rate as a pure function of the step."""

import math

from ultrathink_api.sections.training import ScheduleSpec


def learning_rate(step: int, *, peak: float, steps: int, schedule: ScheduleSpec) -> float:
    """The rate of optimizer step `step`, counted from 1: linear warm-up, then the schedule's shape.

    The last warm-up step has the full rate; the last step of a decaying schedule has min_ratio of it.
    """
    warmup = schedule.warmup_steps or 0
    if step <= warmup:
        return peak * step / warmup
    return peak * _ratio(step, warmup, steps, schedule)


def _ratio(step: int, warmup: int, steps: int, schedule: ScheduleSpec) -> float:
    floor = schedule.min_ratio
    if schedule.name == "constant":
        return 1.0
    if schedule.name == "wsd":  # warm-up, stable, decay: linear over the last share of the steps
        decay_steps = max(1, min(round(steps * schedule.decay_fraction), steps - warmup))
        return floor + (1 - floor) * min(1.0, (steps - step) / decay_steps)
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if schedule.name == "linear":
        return floor + (1 - floor) * (1 - done)
    assert schedule.name == "cosine", schedule.name
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
