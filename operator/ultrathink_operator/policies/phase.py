"""The phase: the first that holds, read off the conditions, and the reason that stands behind it."""

from collections.abc import Mapping

from ultrathink_api.status import Condition, JobStatus, Phase

LEAVING = frozenset({"Deleting", "Suspending", "Cancelling", "DeadlineExceeded"})

Conditions = Mapping[str, Condition]


def derive(status: JobStatus, conditions: Conditions) -> Phase:
    """In the order of the API's list; Failed and Succeeded first, so that an end is an end."""
    if _holds(conditions, "Failed"):
        return Phase.FAILED
    if _holds(conditions, "Complete"):
        return Phase.SUCCEEDED
    suspended = conditions.get("Suspended")
    if suspended is not None and suspended.status == "False" and suspended.reason in LEAVING:
        return Phase.SUSPENDING
    if _holds(conditions, "Suspended"):
        return Phase.SUSPENDED
    if status.cluster is not None:
        return _with_cluster(status, conditions)
    return Phase.PLANNED if _holds(conditions, "Valid") and _holds(conditions, "Admitted") else Phase.PENDING


def explain(phase: Phase, conditions: Conditions) -> Condition | None:
    """The condition that says why the job is in this phase."""
    order: Mapping[Phase, tuple[str, ...]] = {
        Phase.FAILED: ("Failed",),
        Phase.SUCCEEDED: ("Complete",),
        Phase.SUSPENDING: ("Suspended",),
        Phase.SUSPENDED: ("Suspended",),
        Phase.RUNNING: ("Progressing", "Running"),
        Phase.RECOVERING: ("Running",),
        Phase.STARTING: ("Running",),
        Phase.SCHEDULING: ("Scheduled",),
        Phase.QUEUED: ("Scheduled",),
        Phase.PLANNED: ("Admitted",),
        Phase.PENDING: ("Valid", "Admitted"),
    }
    named = [conditions[name] for name in order[phase] if name in conditions]
    for blocking in ("Valid", "Admitted"):
        found = conditions.get(blocking)
        # A new spec that is refused leaves the old one running, and its owner must hear of it.
        if found is not None and found.status == "False" and phase not in (Phase.FAILED, Phase.SUCCEEDED):
            named.insert(0, found)
            break
    if phase is Phase.STARTING or phase is Phase.RECOVERING:
        scheduled = conditions.get("Scheduled")
        if scheduled is not None and (scheduled.status == "False" or scheduled.reason == "CrashLoop"):
            named.insert(0, scheduled)
    if phase is Phase.RUNNING:
        named.sort(key=lambda c: c.status == "True")
    return named[0] if named else None


def _with_cluster(status: JobStatus, conditions: Conditions) -> Phase:
    if _holds(conditions, "Running"):
        return Phase.RUNNING
    stepped = status.progress is not None and status.progress.step > 0
    if stepped or (status.attempt is not None and status.attempt.number > 1):
        return Phase.RECOVERING
    scheduled = conditions.get("Scheduled")
    if scheduled is not None and scheduled.status == "True":
        return Phase.STARTING
    return Phase.QUEUED if scheduled is not None and scheduled.reason == "QuotaExceeded" else Phase.SCHEDULING


def _holds(conditions: Conditions, name: str) -> bool:
    found = conditions.get(name)
    return found is not None and found.status == "True"
