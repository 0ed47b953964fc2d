"""Where the time went: seconds by bucket that sum to wall time. Pure: the clock's readings come in."""

from collections.abc import Mapping

BUCKETS = ("productive", "startup", "restore", "replay", "checkpointStall", "dataWait", "eval", "hang", "other")
"""The buckets of the API's status that have a source."""


class Account:
    """Every second since it was opened goes into one bucket, once."""

    def __init__(self, now: float, *, carried: Mapping[str, float] | None = None, high_step: int = 0) -> None:
        self.seconds = {bucket: float((carried or {}).get(bucket, 0.0)) for bucket in BUCKETS}
        self._mark = now
        self._high = high_step
        self._running = False
        self._written = dict(self.seconds)

    @property
    def high_step(self) -> int:
        """The furthest step that was ever seen."""
        return self._high

    def step(self, step: int, now: float, waited: float = 0.0) -> None:
        """A step is done: new work, or work done again; so many of its seconds it waited for data. The first one of an
        attempt ends its start-up."""
        if self._running:
            self._spend("dataWait", min(now, self._mark + waited))
        bucket = "startup" if not self._running else "productive" if step > self._high else "replay"
        self._spend(bucket, now)
        self._running = True
        self._high = max(self._high, step)

    def restored(self, seconds: float, now: float) -> None:
        """State was read back before the first step."""
        self._spend("startup", max(self._mark, now - seconds))
        self._spend("restore", now)

    def stalled(self, seconds: float, now: float) -> None:
        """Training waited so long for a checkpoint since the last record."""
        self._spend("checkpointStall", min(now, self._mark + seconds))

    def evaluated(self, now: float) -> None:
        """Held-out loss was measured."""
        self._spend("eval", now)

    def hung(self, now: float) -> None:
        """Nothing was done since the last record."""
        self._spend("hang", now)

    def attempt_ended(self, now: float) -> dict[str, float]:
        """What came after the last step is nobody's; returns what was spent since the attempt before."""
        self._spend("other" if self._running else "startup", now)
        self._running = False
        spent = {bucket: round(self.seconds[bucket] - self._written[bucket], 3) for bucket in BUCKETS}
        self._written = dict(self.seconds)
        return spent

    def read(self, now: float) -> dict[str, float]:
        """The buckets now; seconds not yet explained stand in `other`, or in `startup` before the first step."""
        seconds = dict(self.seconds)
        seconds["other" if self._running else "startup"] += max(0.0, now - self._mark)
        return seconds

    def close(self, now: float) -> dict[str, float]:
        """The end of the run: the rest is `other`."""
        self._spend("other", now)
        return dict(self.seconds)

    def _spend(self, bucket: str, until: float) -> None:
        self.seconds[bucket] += max(0.0, until - self._mark)
        self._mark = max(self._mark, until)


def ratio(seconds: Mapping[str, float]) -> float:
    """Share of wall time spent on steps that were kept."""
    total = sum(seconds.values())
    return seconds["productive"] / total if total > 0 else 0.0
