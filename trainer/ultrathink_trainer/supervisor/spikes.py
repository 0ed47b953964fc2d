"""A loss that leaps: measured against what the loss did lately. Pure."""

import math

SMOOTHING = 0.02
"""Weight of the newest step: mean and spread of the last fifty or so."""
STEPS_TO_LEARN = 50
"""In the first steps a loss falls so fast that it has no spread to speak of."""
LEAPS_TO_STAY = 10
"""So many in a row are the new level, not a leap any more."""
DEVIATIONS = 6.0
LEAST_RISE = 0.1
"""Of the mean: a run that has settled spreads so little that a sneeze would be six deviations."""


class Spikes:
    """Fed with each step's loss."""

    def __init__(self) -> None:
        self._mean = self._variance = 0.0
        self._seen = self._leaps = 0

    def take(self, loss: float | None) -> float | None:
        """The mean that a leaping loss left behind; None for one that is as they were. A leap teaches
        nothing, until it has become the rule."""
        if loss is None:
            return None
        rise = loss - self._mean
        limit = max(DEVIATIONS * math.sqrt(self._variance), LEAST_RISE * abs(self._mean))
        if self._seen >= STEPS_TO_LEARN and rise > limit:
            self._leaps += 1
            if self._leaps < LEAPS_TO_STAY:
                return self._mean
            self._seen = 0
        self._leaps = 0
        self._seen += 1
        weight = max(SMOOTHING, 1.0 / self._seen)
        self._mean += weight * rise
        self._variance = (1 - weight) * (self._variance + weight * rise * rise)
        return None
