"""Why pods are not running, in the words of those who know: the scheduler, kubelet, and the quota."""

from collections.abc import Iterable
from typing import Any

from ultrathink_api import names
from ultrathink_api.status import ClusterStatus, WorkersStatus
from ultrathink_operator.actions import Action, Explain, Finding, Nudge, Said
from ultrathink_operator.observe import Observed, PodView, SetView, Words
from ultrathink_operator.policies.cluster import is_ours
from ultrathink_operator.policies.writing import timestamp

UNHAPPY_S = 5.0
"""Patience before Events are asked for: most pods start within it."""
LOOK_AGAIN_S = 5.0
NUDGE_EVERY_S = 30.0
"""The StatefulSet's controller backs off to 16 minutes; a quota that was raised should be noticed sooner."""

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
IMAGE_FIX = "build and push it with make images REGISTRY=..., or name one that nodes can pull in the runtime's image"
CRASH_REASON = "CrashLoopBackOff"
MOUNT_EVENTS = frozenset({"FailedMount", "FailedAttachVolume"})
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError"})
RANK = ("QuotaExceeded", "Unschedulable", "ImagePullError", "FailedMount", "CrashLoop", "FailedCreate")
"""Which reason is told when pods differ: the one that is likeliest to need a person."""


def report(seen: Observed, now: float) -> Finding:
    """Whether all pods of the cluster run, and if not, why."""
    number, sets = seen.number, [s for s in seen.sets if s.meta.number == seen.number]
    pods = [p for p in seen.pods_of(number) if p.meta.deleted_at is None]
    desired = sum(share_of(s, sets) for s in sets)
    running = [p for p in pods if p.phase == "Running"]
    reasons = [*_of_sets(seen, sets), *_of_pods(seen, pods)]
    status: dict[str, Any] = {"workers": _workers(seen, pods, sets)}
    if len(running) >= desired > 0:
        crashing = [(pod, why) for pod in running if (why := _crash(pod))]
        message = "" if not crashing else _told(crashing[0][0].meta.name, crashing[0][1], len(crashing), desired)
        said = Said("Scheduled", "True", crashing[0][1].reason if crashing else "Placed", message)
        return Finding(conditions=(said,), status={**status, **_placed(seen, now)})
    if reasons:
        name, why = min(reasons, key=lambda r: (RANK.index(r[1].reason) if r[1].reason in RANK else len(RANK), r[0]))
        said = Said("Scheduled", "False", why.reason, _told(name, why, desired - len(running), desired))
    else:
        said = Said("Scheduled", "False", "Placing", f"{len(running)} of {desired} pods run")
    unhappy = [*_unhappy(sets, pods, now), *_nudges(seen, sets, now)]
    wake = LOOK_AGAIN_S if desired > len(running) else None
    return Finding(actions=tuple(unhappy), conditions=(said,), status=status, wake_after=wake)


def share_of(one: SetView, sets: list[SetView]) -> int:
    """Pods that a set should have, whatever somebody, or a gang that was given back, has made of its replicas."""
    rendered = max((s.workers for s in sets if s.meta.role == names.HEAD), default=one.replicas)
    return rendered if one.meta.role == names.WORKER else 1


def _placed(seen: Observed, now: float) -> dict[str, ClusterStatus]:
    """The moment from which the first step is waited for, kept however often pods are replaced."""
    cluster = seen.job.status.cluster
    assert cluster is not None, "pods belong to a cluster whose number is written"
    first = cluster.placed_at or timestamp(now)
    return {"cluster": cluster.model_copy(update={"placed_at": first, "releases": 0, "tried_at": None})}


def _told(name: str, why: Words, waiting: int, desired: int) -> str:
    others = f" ({waiting} of {desired} pods wait)" if waiting else ""
    return f"{name}: {why.message}{others}"[:2048]


def _workers(seen: Observed, pods: list[PodView], sets: list[SetView]) -> WorkersStatus:
    """A job of one worker has its head for a worker."""
    role = names.WORKER if any(s.meta.role == names.WORKER for s in sets) else names.HEAD
    wanted = {names.JOB_UID_LABEL: seen.job.meta.uid, names.CLUSTER_LABEL: str(seen.number), names.ROLE_LABEL: role}
    return WorkersStatus(
        ready=sum(1 for p in pods if p.meta.role == role and p.ready),
        desired=sum(share_of(s, sets) for s in sets if s.meta.role == role),
        selector=names.selector(wanted),
    )


def _of_sets(seen: Observed, sets: list[SetView]) -> Iterable[tuple[str, Words]]:
    """A set that may not make its pods says so in Events alone."""
    for one in sets:
        told = [e for e in seen.explained(one.meta.uid) if e.words.reason == "FailedCreate"]
        if one.pods < one.replicas and told:
            words = max(told, key=lambda e: e.last_at).words
            reason = "QuotaExceeded" if "exceeded quota" in words.message else "FailedCreate"
            yield one.meta.name, Words(reason, words.message)


def _of_pods(seen: Observed, pods: list[PodView]) -> Iterable[tuple[str, Words]]:
    for pod in pods:
        why = _why(seen, pod)
        if why:
            yield pod.meta.name, why


def _why(seen: Observed, pod: PodView) -> Words | None:
    if pod.unscheduled:
        return Words("Unschedulable", pod.unscheduled.message)
    if pod.waiting and pod.waiting.reason in IMAGE_REASONS:
        said = pod.waiting.message or pod.waiting.reason
        return Words("ImagePullError", f"image {pod.image}: {said} (fix: {IMAGE_FIX})")
    if pod.waiting and pod.waiting.reason in CONFIG_REASONS:
        return Words("FailedMount", f"{pod.waiting.reason}: {pod.waiting.message}")
    mounts = [e for e in seen.explained(pod.meta.uid) if e.words.reason in MOUNT_EVENTS]
    if pod.phase == "Pending" and mounts:
        return Words("FailedMount", max(mounts, key=lambda e: e.last_at).words.message)
    return _crash(pod)


def _crash(pod: PodView) -> Words | None:
    if pod.waiting is None or pod.waiting.reason != CRASH_REASON:
        return None
    last = f"{pod.ended.reason}, {pod.ended.message}" if pod.ended else pod.waiting.message
    return Words("CrashLoop", f"its first process ends again and again: {last}")


def _nudges(seen: Observed, sets: list[SetView], now: float) -> Iterable[Action]:
    """A refusal by quota is tried again soon, and not as an endless fight."""
    refused = {name for name, why in _of_sets(seen, sets) if why.reason == "QuotaExceeded"}
    for one in sets:
        last = max(one.nudged_at or 0.0, one.meta.created_at)
        if one.meta.name in refused and is_ours(seen, one.meta.owner) and now - last >= NUDGE_EVERY_S:
            yield Nudge(one.meta.name, one.meta.uid, one.meta.version, one.replicas, timestamp(now), one.avoided)


def _unhappy(sets: list[SetView], pods: list[PodView], now: float) -> Iterable[Action]:
    for one in sets:
        if one.pods < one.replicas and now - one.meta.created_at >= UNHAPPY_S:
            yield Explain(one.meta.uid)
    for pod in pods:
        if pod.phase == "Pending" and pod.unscheduled is None and now - pod.meta.created_at >= UNHAPPY_S:
            yield Explain(pod.meta.uid)
