"""Whether a person can work from here: this machine, the cluster, what is installed there, and what is permitted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ultrathink.cluster import schema
from ultrathink.cluster.connect import Cluster
from ultrathink.cluster.jobs import Raw
from ultrathink.cluster.translate import INSTALL, RESOURCE, UPGRADE, asking, role_to_ask_for, unwatched
from ultrathink_api import GROUP_VERSION, names
from ultrathink_api.errors import Problem, Refused

OLDEST_KUBERNETES = (1, 30)
"""ValidatingAdmissionPolicy, on which our bounds stand, is on by default since then."""
CLOCK_SECONDS = 30.0
"""Two clocks that are further apart make ages wrong; of signed requests to a bucket minutes are forgiven."""
LEASE_SECONDS = 60.0
"""Four times what a Lease of the operator is good for: nobody is about to renew it."""
SHOWN_FIELDS = 3

WATCHED, LEASE = "ULTRATHINK_WATCH_NAMESPACES", "ULTRATHINK_LEASE"
"""Variables of the operator's container."""


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; what is not well has a fix."""

    name: str
    state: State
    message: str
    fix: str = ""
    code: str = ""

    def dump(self) -> dict[str, str]:
        """JSON for programs."""
        more = {"fix": self.fix, "code": self.code}
        return {"name": self.name, "state": self.state, "message": self.message, **{k: v for k, v in more.items() if v}}


def refused(name: str, problem: Problem, state: State = State.FAIL) -> Check:
    """A check that ended with a refusal."""
    return Check(name, state, problem.message, problem.fix, problem.code)


def of_machine() -> Iterator[Check]:
    """What is installed here."""
    yield Check("utk", State.OK, f"version {_installed('ultrathink')}, API {GROUP_VERSION}")
    found = {name: _installed(name) for name in ("torch", "ray")}
    missing = [name for name, at in found.items() if at is None]
    if missing:
        fix = "pip install 'ultrathink[cli,trainer]', if you want to train here"
        yield Check("local", State.WARN, f"to train here {' and '.join(missing)} must be installed", fix, "UTK0606")
    else:
        yield Check("local", State.OK, ", ".join(f"{name} {at}" for name, at in found.items()))


def of_cluster(cluster: Cluster, now: datetime) -> Iterator[Check]:
    """What the API server says, from the outside in; ends where nothing further can be asked."""
    try:
        yield from _server(cluster, now)
        yield _identity(cluster)
    except Refused as error:
        yield refused("server", error.problem)
        return
    yield from _definitions(cluster)
    yield from operator(cluster)
    yield from _rights(cluster)


def _server(cluster: Cluster, now: datetime) -> Iterator[Check]:
    with asking("get", "", resource="version"):
        said, its_time = cluster.request("GET", "/version"), cluster.time()
    where = f"Kubernetes {said.get('gitVersion')} at {cluster.api.configuration.host}, namespace {cluster.namespace}"
    found = tuple(int("".join(filter(str.isdigit, str(said.get(part) or 0)))) for part in ("major", "minor"))
    if found < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        yield Check("server", State.FAIL, f"{where}; {oldest} is the oldest that will do", "upgrade the cluster")
    else:
        yield Check("server", State.OK, where)
    apart = abs((now - its_time).total_seconds())
    if apart > CLOCK_SECONDS:
        message = f"the clocks here and there are {apart:.0f} s apart"
        yield Check("clock", State.WARN, message, "let both follow NTP: timedatectl set-ntp true")


def _identity(cluster: Cluster) -> Check:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with asking("create", "", resource="selfsubjectreviews.authentication.k8s.io"):
        said = cluster.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    return Check("identity", State.OK, f"signed in as {said['status']['userInfo'].get('username')}")


def _definitions(cluster: Cluster) -> Iterator[Check]:
    try:
        with asking("get", ""):
            cluster.request("GET", f"/apis/{GROUP_VERSION}")
        with asking("get", ""):
            served = cluster.request("GET", f"/openapi/v3/apis/{GROUP_VERSION}")
    except Refused as error:
        yield refused("crds", error.problem)
        return
    theirs, ours = schema.served(served), schema.known()
    for missing, who, fix in (
        (ours - theirs, "the cluster's CRDs are older than this utk; they lack", UPGRADE),
        (theirs - ours, "this utk is older than the cluster's CRDs; it does not know", "pip install -U ultrathink"),
    ):
        if missing:
            few = ", ".join(sorted(missing)[:SHOWN_FIELDS]) + (", ..." if len(missing) > SHOWN_FIELDS else "")
            yield Check("crds", State.WARN, f"{who} {few}", fix)
    if theirs == ours:
        yield Check("crds", State.OK, f"{GROUP_VERSION}, with the fields that this utk knows")


def operator(cluster: Cluster) -> Iterator[Check]:
    """Whether one watches the namespace, runs, and holds its Lease."""
    try:
        with asking("list", "", resource="deployments.apps"):
            query = {"labelSelector": names.selector(names.OPERATOR_LABELS)}
            found: list[Raw] = cluster.request("GET", "/apis/apps/v1/deployments", query)["items"]
    except Refused as error:
        unseen = error.problem.code == "UTK0505"
        yield refused("operator", error.problem, State.WARN if unseen else State.FAIL)
        return
    if not found:
        yield Check("operator", State.FAIL, "no operator is installed on the cluster", INSTALL, "UTK0509")
        return
    mine = next((item for item in found if _watches(item, cluster.namespace)), None)
    if mine is None:
        where = ", ".join(sorted(item["metadata"]["namespace"] for item in found))
        fix = unwatched(cluster.namespace).fix
        message = f"no operator watches namespace {cluster.namespace} (there are operators in: {where})"
        yield Check("operator", State.FAIL, message, fix, "UTK0509")
        return
    yield _deployment(mine)
    yield _lease(cluster, mine)


def _deployment(item: Raw) -> Check:
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    at = (item["metadata"].get("labels") or {}).get("app.kubernetes.io/version")
    who = f"{name} in {namespace}" + (f", version {at}" if at else "")
    if ((item.get("status") or {}).get("availableReplicas") or 0) > 0:
        return Check("operator", State.OK, who)
    fix = f"kubectl describe deployment/{name} -n {namespace}; kubectl logs deployment/{name} -n {namespace}"
    return Check("operator", State.FAIL, f"{who}: it does not run", fix)


def _lease(cluster: Cluster, item: Raw) -> Check:
    namespace = item["metadata"]["namespace"]
    name = _environment(item).get(LEASE) or item["metadata"]["name"]
    logs = f"kubectl logs deployment/{item['metadata']['name']} -n {namespace}"
    fix = f"kubectl get lease {name} -n {namespace} -o yaml; {logs}"
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    try:
        with asking("list", namespace, resource="leases.coordination.k8s.io"):
            found = cluster.request("GET", path, {"fieldSelector": f"metadata.name={name}"})["items"]
            now = cluster.time()
    except Refused as error:
        return refused("lease", error.problem, State.WARN if error.problem.code == "UTK0505" else State.FAIL)
    spec = found[0]["spec"] if found else {}
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or not renewed:
        return Check("lease", State.FAIL, f"no operator holds the Lease {name}", fix)
    age = (now - datetime.fromisoformat(renewed)).total_seconds()
    if age > LEASE_SECONDS:
        return Check("lease", State.FAIL, f"{holder} has not renewed the Lease {name} for {age:.0f} s", fix)
    return Check("lease", State.OK, f"held by {holder}")


def _watches(item: Raw, namespace: str) -> bool:
    said = _environment(item).get(WATCHED, "*")
    return said == "*" or namespace in said.split(",")


def _environment(item: Raw) -> Mapping[str, str]:
    containers: list[Any] = item["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") or "" for c in containers for entry in c.get("env") or []}


RIGHTS: tuple[tuple[str, State, str, tuple[str, ...]], ...] = (
    ("read jobs", State.FAIL, RESOURCE, ("get", "list")),
    ("change jobs", State.WARN, RESOURCE, ("create", "patch", "delete")),
    ("find pods", State.WARN, "pods", ("list",)),
    ("read logs", State.WARN, "pods/log", ("get",)),
    ("read events", State.WARN, "events", ("list",)),
)
"""What is asked for, how bad it is to lack it, and the rights that it takes."""


def _rights(cluster: Cluster) -> Iterator[Check]:
    for name, state, resource, verbs in RIGHTS:
        try:
            lacking = [verb for verb in verbs if not _may(cluster, verb, resource)]
        except Refused as error:
            yield refused(name, error.problem)
            return
        where = f"{resource} in {cluster.namespace}"
        if not lacking:
            yield Check(name, State.OK, f"{', '.join(verbs)} {where}")
            continue
        fix = role_to_ask_for(lacking, cluster.namespace, resource)
        yield Check(name, state, f"you may not {', '.join(lacking)} {where}", fix, "UTK0505")


def _may(cluster: Cluster, verb: str, resource: str) -> bool:
    dotted, _, part = resource.partition("/")
    plain, _, group = dotted.partition(".")
    wanted = {"namespace": cluster.namespace, "verb": verb, "group": group, "resource": plain, "subresource": part}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    with asking("create", "", resource="selfsubjectaccessreviews.authorization.k8s.io"):
        said = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(said["status"].get("allowed"))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
