"""All pods or none: a cluster that fits only in part gives its workers back, waits, and is tried again as a whole."""

import hashlib

from ultrathink_api import names
from ultrathink_api.status import TERMINAL, ClusterStatus
from ultrathink_operator.actions import Finding, Said
from ultrathink_operator.observe import JobView, Observed, seconds
from ultrathink_operator.policies.deadline import MINUTE_S
from ultrathink_operator.policies.writing import timestamp

RELEASED = "GangReleased"
PLACEMENT_MINUTES = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 1_800.0
"""Others come and go meanwhile; after half an hour a longer wait finds no more room, it only finds it later."""
DOUBLINGS = 6
JITTER = 0.25
"""Share of the wait by which it differs from job to job, so that two that were released at once do not meet again."""
ELDER_CHECK_S = 5.0


def follow(seen: Observed, now: float) -> Finding | None:
    """What is to be said and done of a gang that was given back, or is to be; None while it may go on being placed."""
    cluster = seen.job.status.cluster
    assert cluster is not None, "a live cluster has a number"
    if cluster.retry_at is not None:
        return _wait(seen, cluster, now)
    due = _due(seen)
    if due is None or now < due:
        return None
    placed, all_of_them = _placed(seen)
    wait = backoff(seen.job.meta.uid, cluster.releases)
    again = timestamp(now + wait)
    said = f"only {placed} of {all_of_them} pods found a node within deadlines.placementMinutes {_minutes(seen):g}"
    message = f"{said}, so the workers were given back; all are tried again at {again}"
    update = {"releases": cluster.releases + 1, "retry_at": again}
    return Finding(
        conditions=(Said("Scheduled", "False", RELEASED, message),),
        status={"cluster": cluster.model_copy(update=update)},
        wake_after=0.0,
    )


def due_in(seen: Observed, now: float) -> Finding:
    """When to look again, so that the moment is not slept through."""
    due = _due(seen)
    return Finding(wake_after=None if due is None else max(0.0, due - now))


def backoff(uid: str, releases: int) -> float:
    """30 s, doubled with every release, and a little different for each job."""
    spread = int.from_bytes(hashlib.sha256(f"{uid}:{releases}".encode()).digest()[:4], "big") / 2**32
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(releases, DOUBLINGS))
    return float(longest * (1 + JITTER * (2 * spread - 1)))


def is_tried_again(job: JobView, now: float) -> bool:
    """Whether the pods of a job that were given back are just being placed, or about to be."""
    cluster, scheduled = job.status.cluster, job.status.condition("Scheduled")
    if cluster is None or not cluster.releases or scheduled is None or scheduled.status == "True":
        return False
    if job.status.phase in TERMINAL or job.word("suspend") is True:
        return False
    return cluster.retry_at is None or (seconds(cluster.retry_at) or 0.0) <= now


def _wait(seen: Observed, cluster: ClusterStatus, now: float) -> Finding:
    left = (seconds(cluster.retry_at) or 0.0) - now
    known = seen.job.status.condition("Scheduled")
    message = known.message if known is not None and known.reason == RELEASED else "the workers were given back"
    if left <= 0 and not seen.elder:
        again = cluster.model_copy(update={"retry_at": None, "tried_at": timestamp(now)})
        tried = Said("Scheduled", "False", "Placing", "all pods are tried again")
        return Finding(conditions=(tried,), status={"cluster": again}, wake_after=0.0)
    if left <= 0:
        message = f"the workers were given back; job {seen.elder} is older and is tried first"
    said = Said("Scheduled", "False", RELEASED, message)
    return Finding(conditions=(said,), wake_after=left if left > 0 else ELDER_CHECK_S)


def _minutes(seen: Observed) -> float:
    said = seen.job.word("deadlines", "placementMinutes")
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) else PLACEMENT_MINUTES


def _due(seen: Observed) -> float | None:
    """When a gang of which a part holds nodes, and another finds none, is given back."""
    cluster, scheduled = seen.job.status.cluster, seen.job.status.condition("Scheduled")
    placed, all_of_them = _placed(seen)
    workers = [p for p in seen.pods_of(seen.number) if p.meta.role == names.WORKER and (p.node or p.phase == "Running")]
    if cluster is None or scheduled is None or scheduled.status == "True" or not workers or placed >= all_of_them:
        return None
    began = max(seconds(scheduled.last_transition_time) or 0.0, seconds(cluster.tried_at) or 0.0)
    return began + _minutes(seen) * MINUTE_S


def _placed(seen: Observed) -> tuple[int, int]:
    """Pods that have a node, of all there should be."""
    head = seen.set_of(seen.number, names.HEAD)
    pods = [p for p in seen.pods_of(seen.number) if p.meta.deleted_at is None]
    return sum(1 for p in pods if p.node or p.phase == "Running"), (head.workers if head else 0) + 1
