"""Lost nodes: a StatefulSet waits for ever for a pod whose node is gone, so the pod is deleted by force."""

from ultrathink_api import names
from ultrathink_operator.actions import Finding, ForceDelete
from ultrathink_operator.observe import Observed, PodView

LOST_AFTER_S = 30.0
GRACE_MARGIN_S = 30.0
"""After the pod's whole grace a living kubelet has reported its end; this is for its report to arrive."""


def force(seen: Observed, now: float) -> Finding:
    """Delete by force what a lost node holds. Safe: a zombie cannot commit."""
    pods = [p for p in seen.pods if p.meta.job_uid == seen.job.meta.uid and p.meta.role in (names.HEAD, names.WORKER)]
    due = {pod.meta.uid: lost_at(pod) for pod in pods}
    lost = [pod for pod in pods if (at := due[pod.meta.uid]) is not None and now >= at]
    waits = [at - now for at in due.values() if at is not None and at > now]
    return Finding(
        actions=tuple(ForceDelete(pod.meta.name, pod.meta.uid) for pod in lost),
        wake_after=min(waits, default=None),
    )


def lost_at(pod: PodView) -> float | None:
    """When the pod counts as lost with its node; None as long as nothing says so.

    Kubernetes marks pods of a silent node not ready and leaves their containers as they were last heard of: so a pod
    whose containers are ready and which itself is not has lost its node. Any other pod gets its whole grace first.
    """
    if pod.meta.deleted_at is None or pod.ready:
        return None
    if pod.containers_ready:
        return pod.meta.deleted_at - pod.meta.grace + LOST_AFTER_S
    return pod.meta.deleted_at + GRACE_MARGIN_S
