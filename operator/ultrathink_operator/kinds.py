"""The kinds of objects that are watched or written: where they live and what is kept of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ultrathink_api import GROUP_VERSION, job, names, runtime
from ultrathink_operator import observe
from ultrathink_operator.observe import Meta


class View(Protocol):
    """What a store keeps of an object."""

    @property
    def meta(self) -> Meta: ...


@dataclass(frozen=True, slots=True)
class Resource:
    """An address in the API."""

    version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        return self.version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Of a collection, or of one object; without a namespace, over all of them."""
        root = f"/apis/{self.version}" if self.group else f"/api/{self.version}"
        place = f"{root}/namespaces/{namespace}" if namespace else root
        return "/".join([place, self.plural, *([name] if name else []), *([subresource] if subresource else [])])


def _labelled(view: View) -> str:
    return view.meta.job_uid


def _itself(view: View) -> str:
    return view.meta.uid


def _nobodys(view: View) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind that is listed and watched."""

    resource: Resource
    project: Callable[[Mapping[str, Any]], View]
    job: Callable[[View], str] = _labelled
    """UID of the job that the object belongs to."""
    selector: str = ""
    """Server-side: what is not ours never crosses the wire."""


JOB = Resource(GROUP_VERSION, job.KIND, job.PLURAL)
RUNTIME = Resource(GROUP_VERSION, runtime.KIND, runtime.PLURAL)
STATEFUL_SET = Resource("apps/v1", "StatefulSet", "statefulsets")
SERVICE = Resource("v1", "Service", "services")
POD = Resource("v1", "Pod", "pods")
CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
SECRET = Resource("v1", "Secret", "secrets")
EVENT = Resource("v1", "Event", "events")
NETWORK_POLICY = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")

WRITTEN = {r.kind: r for r in (STATEFUL_SET, SERVICE, CONFIG_MAP, NETWORK_POLICY, DISRUPTION_BUDGET)}

WATCHED = {
    JOB: Watched(JOB, observe.job_view, job=_itself),
    RUNTIME: Watched(RUNTIME, observe.runtime_view, job=_nobodys),
    STATEFUL_SET: Watched(STATEFUL_SET, observe.set_view, selector=names.JOB_UID_LABEL),
    SERVICE: Watched(SERVICE, observe.service_view, selector=names.JOB_UID_LABEL),
    POD: Watched(POD, observe.pod_view, selector=names.JOB_UID_LABEL),
}
