"""What the supervisor said, as conditions and fields of the status; what another attempt or cluster said is ignored."""

from typing import Any

from ultrathink_api.protocol import Progress
from ultrathink_operator.actions import Finding, Said
from ultrathink_operator.observe import Observed, Supervisor, seconds
from ultrathink_operator.policies.admission import Admitted

UNKNOWN_AFTER_S = 35.0
"""Three questions without an answer; before that silence means nothing."""
MOVES = frozenset({"ClusterLost", "SpecChanged", "Resumed"})
STALE_CHECKPOINTS = 3
"""Checkpoints that may fail to appear before the job is told to have none fresh."""


def answer(seen: Observed) -> Progress | None:
    """The supervisor's last word on this job, this cluster and an attempt that is not already history."""
    head, supervisor, status = seen.head_of(seen.number), seen.supervisor, seen.job.status
    said = supervisor.progress if supervisor else None
    if head is None or supervisor is None or said is None or supervisor.pod_uid != head.meta.uid:
        return None
    if said.uid != seen.job.meta.uid or said.cluster != seen.number:
        return None
    attempt = said.attempt.number if said.attempt else 0
    known = status.attempt.number if status.attempt else 0
    return said if attempt >= known else None


def silent_for(supervisor: Supervisor, now: float) -> float:
    since = supervisor.asked_since if supervisor.answered_at is None else supervisor.answered_at
    return now - since


def report(seen: Observed, admitted: Admitted | None, now: float) -> Finding:
    """How training goes."""
    head, supervisor, said = seen.head_of(seen.number), seen.supervisor, answer(seen)
    began = seen.job.status.attempt is not None
    if head is None or head.meta.deleted_at is not None or head.phase != "Running":
        return Finding() if _is_moving(seen) else _without_head(began)
    known = supervisor is not None and supervisor.pod_uid == head.meta.uid
    if supervisor is None or not known or (said is None and supervisor.answered_at is None):
        if known and supervisor and silent_for(supervisor, now) >= UNKNOWN_AFTER_S:
            return _unknown(supervisor, began, _is_running(seen))
        return Finding() if _is_running(seen) else _starting("the head has not answered yet", began)
    if said is None:
        return Finding()
    finding = _answered(seen, said, admitted, now)
    if silent_for(supervisor, now) < UNKNOWN_AFTER_S:
        return finding
    return Finding(conditions=_unknown(supervisor, began, _is_running(seen)).conditions, status=finding.status)


def _is_running(seen: Observed) -> bool:
    running = seen.job.status.condition("Running")
    return running is not None and running.status == "True"


def _is_moving(seen: Observed) -> bool:
    """The job goes on to another cluster, and its status says why: that it has no head yet is no news."""
    running = seen.job.status.condition("Running")
    return running is not None and running.reason in MOVES


def _without_head(began: bool) -> Finding:
    if not began:
        return Finding(conditions=(Said("Running", "False", "Starting", "the head is not running yet"),))
    message = "the head is gone; its replacement goes on from the newest checkpoint"
    return Finding(
        conditions=(Said("Running", "False", "HeadLost", message), Said("Progressing", "False", "HeadLost", message))
    )


def _starting(message: str, began: bool) -> Finding:
    return Finding(conditions=(Said("Running", "False", "Recovering" if began else "Starting", message),))


def _unknown(supervisor: Supervisor, began: bool, running: bool) -> Finding:
    """Silence is no failure: training needs nobody to watch it."""
    unknown = Said("Progressing", "Unknown", "ProgressUnknown", f"the supervisor does not answer: {supervisor.error}")
    if running or not began:
        return Finding(conditions=(unknown,) if running else (unknown, *_starting(unknown.message, began).conditions))
    return Finding(conditions=(unknown,))


def copied(said: Progress | None) -> dict[str, Any]:
    """What of an answer goes into the status as it is."""
    names = ("attempt", "progress", "checkpoint", "goodput", "restarts")
    return {name: value for name in names if (value := getattr(said, name, None)) is not None}


def _answered(seen: Observed, said: Progress, admitted: Admitted | None, now: float) -> Finding:
    conditions = [*_running(said), *_fresh(said, admitted, now), _degraded(seen)]
    return Finding(conditions=tuple(conditions), status=copied(said))


def _running(said: Progress) -> tuple[Said, ...]:
    if said.state == "running" and said.progress is not None:
        return Said("Running", "True", "Training"), Said("Progressing", "True", "Stepping")
    message = said.message or f"the supervisor is {said.state}"
    cause = said.attempt.cause if said.attempt else None
    if said.state == "recovering":
        reason = cause.value if cause else "Recovering"
    else:
        reason = {"starting": "Starting", "running": "Starting", "ended": "Ended"}.get(said.state, "Stopping")
    return Said("Running", "False", reason, message), Said("Progressing", "False", reason, message)


def _fresh(said: Progress, admitted: Admitted | None, now: float) -> tuple[Said, ...]:
    if said.trouble is not None:
        return (Said("CheckpointFresh", "False", said.trouble.reason, said.trouble.message),)
    if said.checkpoint is None or admitted is None:
        return ()
    interval, taken = admitted.plan.checkpoint, said.checkpoint
    behind = (said.progress.step if said.progress else taken.step) - taken.step
    age = now - (seconds(taken.committed_at) or now)
    by_steps = interval.interval_steps is not None and behind <= STALE_CHECKPOINTS * interval.interval_steps
    by_time = interval.interval_seconds is not None and age <= STALE_CHECKPOINTS * interval.interval_seconds
    if by_steps or by_time:
        return (Said("CheckpointFresh", "True", "Committed"),)
    return (Said("CheckpointFresh", "False", "CheckpointStale", f"the newest checkpoint is that of step {taken.step}"),)


def _degraded(seen: Observed) -> Said:
    pods = [p for p in seen.pods_of(seen.number) if p.meta.deleted_at is None]
    desired = sum(s.replicas for s in seen.sets if s.meta.number == seen.number)
    ready = sum(1 for p in pods if p.ready)
    if ready >= desired:
        return Said("Degraded", "False", "AllReady")
    return Said("Degraded", "True", "PodsNotReady", f"{ready} of {desired} pods are ready")
