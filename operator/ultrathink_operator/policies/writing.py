"""The next status: conditions merged, the phase derived, and whether the difference is worth a write now."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ultrathink_api.status import Condition, JobStatus
from ultrathink_operator.actions import Said
from ultrathink_operator.observe import Observed
from ultrathink_operator.policies import phase

PROGRESS_EVERY_S = 30.0
"""Progress alone is written this often: 1,000 running jobs make 33 writes a second, and nobody reads faster."""
PROGRESS_FIELDS = frozenset({"progress", "goodput"})
MESSAGE_LIMIT = 2048


def timestamp(now: float) -> str:
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compose(seen: Observed, said: Iterable[Said], fields: Mapping[str, Any], now: float) -> JobStatus:
    """The old status with everything new in it."""
    old = seen.job.status
    conditions = merge(old.conditions, said, seen.job.generation, now)
    draft = old.model_copy(update={**fields, "conditions": tuple(conditions.values())})
    reached = phase.derive(draft, conditions)
    why = phase.explain(reached, conditions)
    return draft.model_copy(
        update={
            "phase": reached,
            "reason": why.reason if why else None,
            "message": why.message if why and why.message else None,
            "observed_generation": seen.job.generation,
        }
    )


def merge(old: Iterable[Condition], said: Iterable[Said], generation: int, now: float) -> dict[str, Condition]:
    """Each type once, the last word counts; the time is that of the last change of its status."""
    merged: dict[str, Condition] = {c.type: c for c in old}
    before = dict(merged)
    for one in said:
        known = before.get(one.type)
        changed = known is None or known.status != one.status
        merged[one.type] = Condition(
            type=one.type,
            status=one.status,
            reason=one.reason,
            message=one.message[:MESSAGE_LIMIT],
            observed_generation=generation,
            last_transition_time=timestamp(now) if changed or known is None else known.last_transition_time,
        )
    return merged


def due_in(seen: Observed, new: JobStatus, now: float) -> float | None:
    """Seconds until `new` should be written: 0 is now, None is never."""
    changed = _changed(seen, new)
    if not changed:
        return None
    if is_urgent(seen, new):
        return 0.0
    return 0.0 if seen.written_at is None else max(0.0, seen.written_at + PROGRESS_EVERY_S - now)


def is_urgent(seen: Observed, new: JobStatus) -> bool:
    """Whether more than mere progress would change."""
    return not _changed(seen, new) <= PROGRESS_FIELDS


def _changed(seen: Observed, new: JobStatus) -> set[str]:
    stored, wanted = seen.job.stored_status, new.dump()
    return {name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name)}
