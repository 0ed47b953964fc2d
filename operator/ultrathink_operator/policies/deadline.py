"""Deadlines of a job: over all its attempts, by what its status keeps, so that a restart begins none of them anew."""

from dataclasses import dataclass

from ultrathink_operator.observe import Observed, seconds

EXCEEDED = "DeadlineExceeded"
MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a limit is reached, and what to say then."""

    at: float
    message: str


def nearest(seen: Observed, now: float) -> Deadline | None:
    """The limit that is reached first, if nothing changes meanwhile."""
    found = [
        one
        for one in (
            _queue(seen, _number(seen, "queueHours")),
            _start(seen, _number(seen, "startMinutes")),
            _active(seen, _number(seen, "activeDays"), now),
        )
        if one is not None
    ]
    return min(found, key=lambda one: one.at, default=None)


def _number(seen: Observed, name: str) -> float | None:
    """A limit as the spec says it."""
    value = seen.job.word("deadlines", name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _queue(seen: Observed, hours: float | None) -> Deadline | None:
    """A cluster that has trained and lost a pod waits under no limit; the next one of the job begins a new wait."""
    status, scheduled = seen.job.status, seen.job.status.condition("Scheduled")
    if hours is None or status.cluster is None or scheduled is None or scheduled.status == "True" or seen.worked:
        return None
    queued = seconds(status.cluster.queued_at or status.started_at) or 0.0
    began = max(queued, seconds(scheduled.last_transition_time) or 0.0)
    why = f": {scheduled.message}" if scheduled.message else ""
    return Deadline(began + hours * HOUR_S, f"its pods did not run within deadlines.queueHours {hours:g}{why}")


def _start(seen: Observed, minutes: float | None) -> Deadline | None:
    """A pod that is replaced stops no clock."""
    status = seen.job.status
    stepped = status.progress is not None and status.progress.step > 0
    placed_at = seconds(status.cluster.placed_at) if status.cluster else None
    if minutes is None or stepped or placed_at is None:
        return None
    return Deadline(placed_at + minutes * MINUTE_S, f"no step was made within deadlines.startMinutes {minutes:g}")


def _active(seen: Observed, days: float | None, now: float) -> Deadline | None:
    """Time with pods is the supervisor's account, which it carries over attempts, heads and clusters."""
    goodput = seen.job.status.goodput
    if days is None or goodput is None:
        return None
    active = sum(amount for bucket, amount in goodput.seconds.items() if bucket != "queue")
    return Deadline(now + days * DAY_S - active, f"it was active for deadlines.activeDays {days:g}")
