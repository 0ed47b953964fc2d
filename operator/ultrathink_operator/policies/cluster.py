"""The cluster of a job: its number is written before its objects are made, and every lower number is cleared away."""

from ultrathink_api import names
from ultrathink_api.status import ClusterStatus, ConditionType
from ultrathink_operator.actions import Action, Create, CreateTokens, Delete, DeleteRest, Finding, Hold, Said, Scale
from ultrathink_operator.observe import Observed
from ultrathink_operator.policies import avoid
from ultrathink_operator.policies.admission import Admitted
from ultrathink_operator.policies.writing import timestamp
from ultrathink_operator.render import cluster as rendering

CREATING = "Creating"
"""Reason of Scheduled from the moment the number is written until all objects were seen."""
LOST, LAST_RUNG = "ClusterLost", "cluster"
STOPS: tuple[ConditionType, ...] = ("Running", "Progressing", "Degraded")
HEAD_DEAD_S = 300.0
"""A head that kubelet calls not ready for this long, and that does not answer us either, is given up."""


def intend(seen: Observed, now: float, reason: str = CREATING, message: str = "", *, anew: bool = False) -> Finding:
    """The next cluster, as an intent: a creation that comes too late bears an older number and is cleared away.

    It goes on waiting for its pods where the one before left off, unless that one trained, or all begins `anew`.
    """
    before, number = seen.job.status.cluster, seen.number + 1
    queued_at = timestamp(now) if before is None or anew or seen.worked else before.queued_at
    scheduled = Said("Scheduled", "False", CREATING, message or f"cluster {number} is being made")
    running = Said("Running", "False", reason, message or f"cluster {number} is being made")
    return Finding(
        actions=(Hold(),),
        conditions=(scheduled, running),
        status={"cluster": ClusterStatus(number=number, queued_at=queued_at)},
    )


def is_creating(seen: Observed) -> bool:
    scheduled = seen.job.status.condition("Scheduled")
    return scheduled is not None and scheduled.reason == CREATING


def is_made(seen: Observed) -> bool:
    """Whether all that is watched of the current cluster was seen."""
    number = seen.number
    head = seen.set_of(number, names.HEAD)
    if head is None or seen.service_of(number) is None:
        return False
    return head.workers == 0 or seen.set_of(number, names.WORKER) is not None


def keep(seen: Observed, admitted: Admitted | None, now: float) -> Finding:
    """Make what is missing of the current cluster, or go on to the next one when it was lost."""
    number = seen.number
    head, service = seen.set_of(number, names.HEAD), seen.service_of(number)
    if is_creating(seen):
        return _create_or_record(seen, admitted, number)
    if head is None or (head.workers and seen.set_of(number, names.WORKER) is None):
        gone = names.head_set if head is None else names.worker_set
        return _replace(seen, now, f"StatefulSet {gone(seen.job.meta.name, number)} was deleted")
    if _head_is_dead(seen, now):
        return _replace(seen, now, "the head neither answers nor gets ready")
    actions: tuple[Action, ...] = _drift(seen, number, now)
    if service is None and admitted is not None:
        actions += (Create(rendering.objects(admitted.order(seen, number))[0]),)
    return Finding(actions=actions)


def _replace(seen: Observed, now: float, why: str) -> Finding:
    """The last rung, unless the job's ladder ends before it."""
    ladder = seen.job.word("restart", "ladder")
    if not isinstance(ladder, list) or LAST_RUNG in ladder:
        return intend(seen, now, LOST, why)
    message = f"{why}, and restart.ladder has no rung {LAST_RUNG}"
    ended = (Said("Failed", "True", LOST, message), *(Said(kind, "False", LOST, message) for kind in STOPS))
    return Finding(conditions=ended, status={"ended_at": timestamp(now)})


def _create_or_record(seen: Observed, admitted: Admitted | None, number: int) -> Finding:
    if admitted is None:
        return Finding()
    if is_made(seen):  # by an operator that died before it could say with which runtime
        return Finding(status={"runtime": admitted.used})
    return create(seen, admitted, number)


def create(seen: Observed, admitted: Admitted, number: int) -> Finding:
    """All objects of a cluster, in an order that leaves nothing unseen if we die on the way."""
    first, *rest = rendering.objects(admitted.order(seen, number))
    actions: tuple[Action, ...] = (Create(first), CreateTokens(number), *(Create(manifest) for manifest in rest))
    return Finding(actions=actions, status={"runtime": admitted.used})


def clear_older(seen: Observed) -> Finding:
    """Every cluster below the number in status goes, whoever made it and when."""
    older = [number for number in seen.numbers if 0 < number < seen.number]
    return Finding(actions=tuple(action for number in older for action in dismantle(seen, number)))


def dismantle(seen: Observed, number: int) -> tuple[Action, ...]:
    """One step towards nothing: first the sets, then, when no pod is left to need them, what stood around them."""
    sets = [s for s in seen.sets if s.meta.number == number]
    if sets:
        return tuple(
            Delete("StatefulSet", s.meta.name, s.meta.uid)
            for s in sets
            if is_ours(seen, s.meta.owner) and s.meta.deleted_at is None
        )
    service = seen.service_of(number)
    if service is None or not is_ours(seen, service.meta.owner) or seen.pods_of(number):
        return ()
    if service.meta.deleted_at is not None:
        return ()
    return DeleteRest(number), Delete("Service", service.meta.name, service.meta.uid)


def is_ours(seen: Observed, owner: str) -> bool:
    return owner == seen.job.meta.uid


def _drift(seen: Observed, number: int, now: float) -> tuple[Action, ...]:
    """A cluster has the workers that its plan was made for, whoever scaled a set by hand, and avoids what it should."""
    head = seen.set_of(number, names.HEAD)
    replicas = {names.HEAD: 1, names.WORKER: head.workers if head and not seen.released else 0}
    wanted = {role: (count, avoid.of_set(seen, role, number, now)) for role, count in replicas.items()}
    return tuple(
        Scale(s.meta.name, s.meta.uid, s.meta.version, *wanted[s.meta.role])
        for s in seen.sets
        if s.meta.number == number
        and s.meta.role in wanted
        and (s.replicas, s.avoided) != wanted[s.meta.role]
        and is_ours(seen, s.meta.owner)
        and s.meta.deleted_at is None
    )


def _head_is_dead(seen: Observed, now: float) -> bool:
    """Two witnesses, kubelet's probe and our own question, and a head that had worked before: else a new one would
    not do better."""
    head, supervisor = seen.head_of(seen.number), seen.supervisor
    if head is None or supervisor is None or head.ready or head.ready_changed_at is None or not seen.worked:
        return False
    silent = supervisor.asked_since if supervisor.answered_at is None else supervisor.answered_at
    same = supervisor.pod_uid == head.meta.uid
    return same and now - head.ready_changed_at >= HEAD_DEAD_S and now - silent >= HEAD_DEAD_S
