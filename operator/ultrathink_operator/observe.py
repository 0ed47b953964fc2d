"""The watched world of one job as one immutable value, and how it is made of what the API server stores. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from ultrathink_api import names
from ultrathink_api.base import slim
from ultrathink_api.protocol import Progress
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_api.status import JobStatus

WORKERS_ANNOTATION = "ultrathink.io/workers"
"""Workers that a cluster was rendered with; a change of the spec does not change a cluster."""


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NODE_NAME = "metadata.name"
"""The one field of a node that pods can be kept off by, whatever labels it bears."""

NUDGED_ANNOTATION = "ultrathink.io/nudged-at"
"""When a set that the quota refuses was touched last."""


@dataclass(frozen=True, slots=True)
class Meta:
    """Who an object is, and whose."""

    namespace: str
    name: str
    uid: str
    version: str
    created_at: float
    deleted_at: float | None
    """When its grace is over, as the API server counts: the deletion was asked for `grace` seconds before."""
    grace: float
    owner: str
    """UID of the controlling owner; empty if there is none."""
    labels: Mapping[str, str]

    @property
    def job_uid(self) -> str:
        return self.labels.get(names.JOB_UID_LABEL, "")

    @property
    def number(self) -> int:
        """Number of the cluster it says it belongs to; 0 if it says none."""
        text = self.labels.get(names.CLUSTER_LABEL, "")
        return int(text) if text.isdecimal() else 0

    @property
    def role(self) -> str:
        return self.labels.get(names.ROLE_LABEL, "")


@dataclass(frozen=True, slots=True)
class JobView:
    """The job. Its spec stays text until admission has looked at it."""

    meta: Meta
    generation: int
    finalizers: tuple[str, ...]
    spec: str
    status: JobStatus
    stored_status: Mapping[str, Any]
    """The status as the API server holds it, to see whether a write would change anything."""
    submitter: str = ""
    """Who its annotation says has made it."""

    def word(self, section: str, name: str | None = None) -> Any:
        """What the spec says there, whatever else is wrong with it; None where it says nothing."""
        said = json.loads(self.spec).get(section)
        if name is None:
            return said
        return said.get(name) if isinstance(said, dict) else None


@dataclass(frozen=True, slots=True)
class RuntimeView:
    """An UltraThinkRuntime, or why it cannot be read."""

    meta: Meta
    generation: int
    spec: RuntimeSpec | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SetView:
    """A StatefulSet of a cluster."""

    meta: Meta
    replicas: int
    pods: int
    workers: int
    nudged_at: float | None = None
    """When it was touched last to make its controller try again."""
    avoided: tuple[str, ...] = ()
    """Nodes that its new pods are kept off."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The headless Service of a cluster."""

    meta: Meta


@dataclass(frozen=True, slots=True)
class Words:
    """A reason and what goes with it, in the words of who said it."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a cluster: the same shape whoever keeps it."""

    meta: Meta
    phase: str
    ip: str
    ready: bool
    ready_changed_at: float | None
    containers_ready: bool
    unscheduled: Words | None
    waiting: Words | None
    ended: Words | None
    """How the container ended last."""
    image: str
    node: str = ""
    """Where the scheduler put it."""
    avoided: tuple[str, ...] = ()
    """Nodes that it may not be put on."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A warning that somebody attached to an object as an Event."""

    uid: str
    words: Words
    last_at: float


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What the head of a cluster said when it was asked."""

    pod_uid: str
    asked_since: float
    progress: Progress | None = None
    answered_at: float | None = None
    error: str = ""
    needs_cluster: int = 0
    """The generation of a spec that it cannot take over in place."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the API server would not do for us."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class House:
    """What the operator was started with and every job shares."""

    namespace: str
    """The operator's own namespace, from which alone supervisors are asked."""
    defaults: RuntimeSpec
    """The runtime of a job that names none, in a namespace that has none."""
    denied_ranges: tuple[str, ...] = ()
    """Addresses of the Kubernetes cluster itself that jobs need not reach."""
    vouches: bool = False
    """Whether an admission policy sees to it that a job's annotation names who made it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """All that decide() knows. What is not in here does not exist for it."""

    job: JobView
    house: House
    runtimes: tuple[RuntimeView, ...] = ()
    sets: tuple[SetView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    pods: tuple[PodView, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    supervisor: Supervisor | None = None
    troubles: tuple[Trouble, ...] = ()
    written_at: float | None = None
    """When this operator wrote the status last; None after a start."""
    elder: str = ""
    """An older job that is just being placed again after its pods were given back, if this one waits for the same."""
    synced: bool = True
    """Whether everything above was listed at least once; before that, absence means nothing."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Clusters of which anything is there."""
        present = {s.meta.number for s in self.sets} | {s.meta.number for s in self.services}
        return tuple(sorted(present))

    @property
    def number(self) -> int:
        """The cluster that status names; 0 before the first."""
        return self.job.status.cluster.number if self.job.status.cluster else 0

    @property
    def released(self) -> bool:
        """Whether the workers were given back, because they fitted only in part."""
        return self.job.status.cluster is not None and self.job.status.cluster.retry_at is not None

    @property
    def worked(self) -> bool:
        """Whether an attempt began on the cluster that status names."""
        attempt = self.job.status.attempt
        return attempt is not None and attempt.cluster == self.number

    def set_of(self, number: int, role: str) -> SetView | None:
        return next((s for s in self.sets if s.meta.number == number and s.meta.role == role), None)

    def service_of(self, number: int) -> ServiceView | None:
        return next((s for s in self.services if s.meta.number == number), None)

    def pods_of(self, number: int) -> tuple[PodView, ...]:
        return tuple(p for p in self.pods if p.meta.number == number)

    def head_of(self, number: int) -> PodView | None:
        """The pod that is asked for progress: it must be the one that our own StatefulSet made."""
        one = self.set_of(number, names.HEAD)
        return next((p for p in self.pods if one is not None and p.meta.owner == one.meta.uid), None)

    def explained(self, uid: str) -> tuple[Explanation, ...]:
        return tuple(e for e in self.explanations if e.uid == uid)


def meta_of(raw: Mapping[str, Any]) -> Meta:
    """Who the object is."""
    meta = raw["metadata"]
    owner = next((o["uid"] for o in meta.get("ownerReferences", ()) if o.get("controller")), "")
    deleted = meta.get("deletionTimestamp")
    return Meta(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion", ""),
        created_at=seconds(meta.get("creationTimestamp")) or 0.0,
        deleted_at=seconds(deleted),
        grace=float(meta.get("deletionGracePeriodSeconds") or 0),
        owner=owner,
        labels=meta.get("labels") or {},
    )


def job_view(raw: Mapping[str, Any]) -> JobView:
    """A job as stored. A status that cannot be read (somebody forged it) counts as none."""
    stored = raw.get("status") or {}
    try:
        status = slim(JobStatus.model_validate(stored))
    except ValidationError:
        status = JobStatus()
    return JobView(
        meta=meta_of(raw),
        generation=raw["metadata"].get("generation", 0),
        finalizers=tuple(raw["metadata"].get("finalizers", ())),
        spec=json.dumps(raw.get("spec") or {}, sort_keys=True, separators=(",", ":")),
        status=status,
        stored_status=stored,
        submitter=(raw["metadata"].get("annotations") or {}).get(names.SUBMITTER_ANNOTATION, ""),
    )


def runtime_view(raw: Mapping[str, Any]) -> RuntimeView:
    generation = raw["metadata"].get("generation", 0)
    try:
        return RuntimeView(meta_of(raw), generation, RuntimeSpec.model_validate(raw.get("spec") or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return RuntimeView(meta_of(raw), generation, None, f"spec.{where}: {first['msg']}")


def set_view(raw: Mapping[str, Any]) -> SetView:
    annotations = raw["metadata"].get("annotations") or {}
    workers = annotations.get(WORKERS_ANNOTATION, "")
    return SetView(
        meta=meta_of(raw),
        replicas=raw["spec"].get("replicas", 1),
        pods=(raw.get("status") or {}).get("replicas", 0),
        workers=int(workers) if workers.isdecimal() else 0,
        nudged_at=_moment(annotations.get(NUDGED_ANNOTATION)),
        avoided=avoided_in(raw["spec"]["template"].get("spec") or {}),
    )


def avoided_in(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """The nodes that a pod's spec keeps it off, as `keeping_off` writes it."""
    rules = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    found = [
        field.get("values") or ()
        for term in rules.get("nodeSelectorTerms") or ()
        for field in term.get("matchFields") or ()
        if field.get("key") == NODE_NAME and field.get("operator") == "NotIn"
    ]
    return tuple(name for names_ in found for name in names_)


def keeping_off(nodes: Iterable[str]) -> dict[str, Any]:
    """The affinity that keeps pods off these nodes: each by a requirement of its own, which takes one value."""
    fields = [{"key": NODE_NAME, "operator": "NotIn", "values": [node]} for node in nodes]
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": fields}]}}}


def service_view(raw: Mapping[str, Any]) -> ServiceView:
    return ServiceView(meta_of(raw))


def pod_view(raw: Mapping[str, Any]) -> PodView:
    status = raw.get("status") or {}
    said = {c["type"]: c for c in status.get("conditions") or ()}
    ready, scheduled = said.get("Ready", {}), said.get("PodScheduled", {})
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    return PodView(
        meta=meta_of(raw),
        phase=status.get("phase", ""),
        ip=status.get("podIP", ""),
        ready=ready.get("status") == "True",
        ready_changed_at=seconds(ready.get("lastTransitionTime")),
        containers_ready=said.get("ContainersReady", {}).get("status") == "True",
        unscheduled=_words(scheduled) if scheduled.get("status") == "False" else None,
        waiting=_words((container.get("state") or {}).get("waiting")),
        ended=_ended((container.get("lastState") or {}).get("terminated")),
        image=raw["spec"]["containers"][0].get("image", ""),
        node=raw["spec"].get("nodeName") or "",
        avoided=avoided_in(raw["spec"]),
    )


def explanation(raw: Mapping[str, Any]) -> Explanation:
    """An Event as core/v1 lists it."""
    last = raw.get("lastTimestamp") or raw.get("eventTime") or raw["metadata"].get("creationTimestamp")
    return Explanation(
        uid=(raw.get("involvedObject") or {}).get("uid", ""),
        words=Words(raw.get("reason") or "", raw.get("message") or ""),
        last_at=seconds(last) or 0.0,
    )


def seconds(text: str | None) -> float | None:
    """A timestamp of the API server as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp() if text else None


def _moment(text: str | None) -> float | None:
    """A timestamp that anybody may have written: what is none counts as none."""
    try:
        return seconds(text)
    except ValueError:
        return None


def _words(raw: Mapping[str, Any] | None) -> Words | None:
    return Words(raw.get("reason") or "", raw.get("message") or "") if raw else None


def _ended(raw: Mapping[str, Any] | None) -> Words | None:
    if not raw:
        return None
    message = f"exit code {raw.get('exitCode')}"
    return Words(raw.get("reason") or "Ended", f"{message}: {raw['message']}" if raw.get("message") else message)
