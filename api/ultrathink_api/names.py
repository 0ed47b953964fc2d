"""Names and labels of the objects that are made from a job: where everybody looks for them, and nowhere else."""

from collections.abc import Mapping

from ultrathink_api import API_GROUP

FIELD_MANAGER = "ultrathink-operator"
FINALIZER = f"{API_GROUP}/graceful"
"""Held only while a job runs, so that a deletion can save first."""

JOB_LABEL = f"{API_GROUP}/job"
JOB_UID_LABEL = f"{API_GROUP}/job-uid"
CLUSTER_LABEL = f"{API_GROUP}/cluster"
ROLE_LABEL = f"{API_GROUP}/role"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "ultrathink"

HEAD = "head"
WORKER = "worker"

RENDERER_ANNOTATION = f"{API_GROUP}/renderer"
"""Version of the code that rendered a cluster; a newer operator leaves it as it is."""
DIGEST_ANNOTATION = f"{API_GROUP}/digest"
"""Fingerprint of what a cluster was rendered from."""
SUBMITTER_ANNOTATION = f"{API_GROUP}/submitted-by"
"""Who made a job, as the API server knew them: `utk submit` says it, an admission policy lets nobody say another."""

OPERATOR_LABELS: Mapping[str, str] = {
    "app.kubernetes.io/name": "ultrathink",
    "app.kubernetes.io/component": "operator",
}
"""Labels of the operator's own pods: jobs' NetworkPolicies admit them to the control port."""


def cluster(job: str, number: int) -> str:
    """The cluster; also its headless Service, ConfigMap, NetworkPolicy and PodDisruptionBudget."""
    return f"{job}-{number}"


def head_set(job: str, number: int) -> str:
    """The StatefulSet of the head."""
    return f"{cluster(job, number)}-{HEAD}"


def worker_set(job: str, number: int) -> str:
    """The StatefulSet of the workers."""
    return f"{cluster(job, number)}-{WORKER}"


def head_pod(job: str, number: int) -> str:
    """The head."""
    return f"{head_set(job, number)}-0"


def worker_pod(job: str, number: int, index: int) -> str:
    """A worker."""
    return f"{worker_set(job, number)}-{index}"


def head_address(job: str, number: int, namespace: str) -> str:
    """Where agents and ranks find the head inside Kubernetes."""
    return f"{head_pod(job, number)}.{cluster(job, number)}.{namespace}.svc"


def tokens_secret(job: str, number: int, uid: str) -> str:
    """The Secret with the cluster's tokens. It ends in the job's UID: nobody can have made it beforehand."""
    return f"{cluster(job, number)}-{uid}"


def labels(job: str, uid: str, number: int, role: str | None = None) -> dict[str, str]:
    """What every object of a cluster bears."""
    found = {MANAGED_BY_LABEL: MANAGED_BY, JOB_LABEL: job, JOB_UID_LABEL: uid, CLUSTER_LABEL: str(number)}
    return found if role is None else {**found, ROLE_LABEL: role}


def selector(wanted: Mapping[str, str]) -> str:
    """Labels as a label selector."""
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def storage_prefix(uri: str, namespace: str, job: str) -> str:
    """The prefix of one job below the place where its runtime or itself keeps checkpoints."""
    return "/".join([uri.rstrip("/"), *([namespace] if namespace else []), job])
