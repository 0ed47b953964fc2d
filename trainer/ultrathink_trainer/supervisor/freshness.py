"""Whether the newest checkpoint is as new as the job wants it, and if not, why. Pure: records and times come in."""

from collections.abc import Mapping
from typing import Any

from ultrathink_api.errors import CODES, Problem
from ultrathink_api.protocol import CheckpointTrouble

LATE_SECONDS = 10.0
"""A checkpoint may take so long without a word, however fast the ones before it were."""
LATE_FACTOR = 3.0
"""Times the usual length: an upload that takes longer than that is slow."""
MOST_LEFT_OUT = 3
"""Saves left out behind one upload; as many as may fail to appear before the operator calls the newest stale."""
SMOOTHING = 0.3
"""Weight of the newest upload in what is usual."""


class Freshness:
    """Fed by the records of rank 0 and by looks at the store; heals by the next commit, or look, that goes well."""

    def __init__(self) -> None:
        self._began: tuple[int, float] | None = None
        self._usual: float | None = None
        self._left_out = 0
        self._failed: CheckpointTrouble | None = None
        self._slow: CheckpointTrouble | None = None
        self._away: CheckpointTrouble | None = None

    def take(self, record: Mapping[str, Any], now: float) -> None:
        """One record of rank 0."""
        match record["event"]:
            case "checkpointBegan":
                self._began, self._left_out = (int(record["step"]), now), 0
            case "checkpointSkipped":
                self._left_out += 1
                if self._left_out >= MOST_LEFT_OUT:
                    self._slow = self._is_slow(now)
            case "checkpoint":
                if self._began is not None:
                    took = now - self._began[1]
                    self._usual = took if self._usual is None else self._usual + SMOOTHING * (took - self._usual)
                if self._left_out < MOST_LEFT_OUT:
                    self._slow = None
                self._began = self._failed = None
            case "checkpointFailed":
                words = f"the checkpoint of step {record['step']} failed: {record.get('message', '')}"
                self._failed = _trouble(str(record.get("code", "")), words)
                self._began = None

    def attempt_ended(self) -> None:
        """Whatever was on its way is not any more."""
        self._began = None

    def looked(self, problem: Problem | None) -> None:
        """What a look at the store showed."""
        self._away = None if problem is None else _trouble(problem.code, problem.message)

    def trouble(self, now: float) -> CheckpointTrouble | None:
        """The plainest reason there is."""
        if self._began is not None and self._usual is not None:
            since = now - self._began[1]
            if since >= max(LATE_SECONDS, LATE_FACTOR * self._usual):
                self._slow = self._is_slow(now)
        return self._away or self._failed or self._slow

    def _is_slow(self, now: float) -> CheckpointTrouble:
        step, at = self._began or (0, now)
        usual = "" if self._usual is None else f"; the others took {self._usual:.1f} s"
        left = f", {self._left_out} saves were left out meanwhile" if self._left_out else ""
        words = f"the checkpoint of step {step} is on its way for {now - at:.0f} s{left}{usual}"
        return CheckpointTrouble(reason="StoreSlow", message=words)


def _trouble(code: str, message: str) -> CheckpointTrouble:
    return CheckpointTrouble(reason=CODES[code].name if code in CODES else "CheckpointFailed", message=message[:1024])
