"""When silence means a hang: learned from the job's own steps, between a floor and a ceiling. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ultrathink_api.sections.health import HealthSpec

PACE = 3.0
"""A step that takes three times as long as steps do is not merely slow (faults.md, F38)."""
SMOOTHING = 0.1
"""Weight of the newest step: the pace of the last ten or so."""
STEPS_TO_LEARN = 3
"""The first steps of an attempt are slower than all others: kernels, caches, a compiler."""


@dataclass(frozen=True)
class Silence:
    """Nothing was heard for longer than the job's own pace explains."""

    seconds: float
    limit: float


class Watch:
    """Of the attempt under way. `validation_every` and `steps` say which steps are followed by something longer."""

    def __init__(self, health: HealthSpec, *, validation_every: int, steps: int) -> None:
        self.health = health
        self._validation_every, self._steps = validation_every, steps
        self._heard_at: float | None = None
        self._mark = 0.0
        """Where the step under way began: the end of the one before, or of what came between."""
        self._pace: float | None = None
        self._longest_eval = 0.0
        self._done = 0
        self._evaluating = self._closing = False

    def began(self, now: float) -> None:
        """Ranks are being forked. What was learned of the pace stays: the next attempt is the same job."""
        self._heard_at = self._mark = now
        self._done, self._evaluating, self._closing = 0, False, False

    def ended(self) -> None:
        """Nobody is expected to speak."""
        self._heard_at = None

    def heard(self, record: Mapping[str, Any], now: float) -> None:
        """A record of rank 0."""
        if self._heard_at is None:
            return
        self._heard_at = now
        passed = now - self._mark
        match record["event"]:
            case "step":
                if self._done:  # the first one holds the start-up
                    self._pace = passed if self._pace is None else self._pace + SMOOTHING * (passed - self._pace)
                self._done += 1
                self._mark = now
                last = record["step"] >= self._steps
                # Before a run goes back around steps that are not finite it waits for the upload under way.
                self._closing = last or bool(record.get("skipped"))
                self._evaluating = last or record["step"] % self._validation_every == 0
            case "eval":
                self._longest_eval = max(self._longest_eval, passed)
                self._mark, self._evaluating = now, False

    def limit(self) -> float | None:
        """Seconds of silence that are too many now; None: never."""
        health = self.health
        if health.hang == "off":
            return None
        startup = health.startup_minutes * 60.0
        if self._done == 0:
            return startup
        if self._closing:  # a checkpoint that is waited for may take as long as the store does
            return max(startup, health.hang_ceiling_seconds)
        if health.hang != "auto":
            return float(health.hang)
        ceiling = float(health.hang_ceiling_seconds)
        if self._pace is None or self._done < STEPS_TO_LEARN:
            return ceiling
        if self._evaluating:
            return max(ceiling, PACE * self._longest_eval)
        return min(max(PACE * self._pace, float(health.hang_floor_seconds)), ceiling)

    def look(self, now: float) -> Silence | None:
        """A hang, if there is one."""
        limit = self.limit()
        if limit is None or self._heard_at is None or now - self._heard_at <= limit:
            return None
        return Silence(now - self._heard_at, limit)
