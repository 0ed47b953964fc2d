"""Jobs as objects of the API server: submitted, read, listed, deleted."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from ultrathink.cluster.connect import Cluster
from ultrathink.cluster.translate import asking, not_found, silent, unwatched
from ultrathink_api import GROUP_VERSION, names
from ultrathink_api.errors import Problem, Refused
from ultrathink_api.job import PLURAL
from ultrathink_api.status import TERMINAL
from ultrathink_store import layout

FIELD_MANAGER = "utk"
NEWEST = ("@latest", "-")
NOTICE_SECONDS = 10.0
"""An operator that watches a namespace takes notice of a new job within a second; after ten, none does."""
POLL_SECONDS = 1.0
"""One small GET a second cannot lose an event, and costs an API server less than a watch that is reopened."""
PATIENCE_SECONDS = 300.0
"""An API server may be away so long while somebody waits; then waiting is given up."""

_WHO, _WHO_KIND = "/apis/authentication.k8s.io/v1/selfsubjectreviews", "SelfSubjectReview"

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of a submission."""

    action: Literal["created", "configured", "unchanged"]
    raw: Raw
    namespace: str
    dry_run: bool


def submit(cluster: Cluster, raw: Raw, *, dry_run: bool = False) -> Submitted:
    """Server-side apply as our own field manager: the same job twice is one job, and others' fields stay theirs."""
    namespace, name = namespace_of(cluster, raw), raw["metadata"]["name"]
    before = find(cluster, namespace, name)
    metadata = signed(raw, submitter(before) if before else _myself(cluster))["metadata"]
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    body = {
        "apiVersion": raw["apiVersion"],
        "kind": raw["kind"],
        "metadata": {"name": name, "namespace": namespace, **kept},
        "spec": raw["spec"],
    }
    query = {"fieldManager": FIELD_MANAGER, "force": "false", "fieldValidation": "Strict"}
    if dry_run:
        query["dryRun"] = "All"
    with asking("patch", namespace, name):
        after = cluster.request("PATCH", _path(namespace, name), query, body, "application/apply-patch+yaml")
    action: Literal["created", "configured", "unchanged"] = "created"
    if before is not None:
        same = all(_said(before, part) == _said(after, part) for part in ("spec", "labels", "annotations"))
        action = "unchanged" if same else "configured"
    return Submitted(action, after, namespace, dry_run)


def submitter(raw: Raw) -> str:
    """Who made a job, as it says itself; empty where it does not."""
    return str((raw["metadata"].get("annotations") or {}).get(names.SUBMITTER_ANNOTATION) or "")


def signed(raw: Raw, who: str) -> Raw:
    """The job as a file says it, with who made it: that stays, whoever writes to it later."""
    if not who:
        return raw
    metadata = raw["metadata"]
    return {
        **raw,
        "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), names.SUBMITTER_ANNOTATION: who}},
    }


def _myself(cluster: Cluster) -> str:
    """Whom the API server takes us for."""
    from kubernetes.client import ApiException

    try:
        answer = cluster.request("POST", _WHO, None, {"apiVersion": "authentication.k8s.io/v1", "kind": _WHO_KIND})
    except ApiException:  # who may not ask that submits all the same, and goes unnamed
        return ""
    return str(answer["status"]["userInfo"].get("username") or "")


def namespace_of(cluster: Cluster, raw: Raw) -> str:
    """The namespace that a file names, else the one that is meant."""
    return str(raw["metadata"].get("namespace") or cluster.namespace)


def get(cluster: Cluster, name: str, *, guess: bool = False) -> Raw:
    """The job of that name; `@latest` is the newest one; with `guess` a unique beginning will do."""
    if name in NEWEST:
        return newest(cluster)
    found = find(cluster, cluster.namespace, name)
    if found is not None:
        return found
    known = [item["metadata"]["name"] for item in all_of(cluster)]
    fitting = [other for other in known if other.startswith(name)] if guess else []
    if len(fitting) == 1:
        return get(cluster, fitting[0])
    if fitting:
        raise Refused.of(
            "UTK0513",
            field=name,
            message=f"{name} fits {', '.join(sorted(fitting)[:5])}",
            fix="type more of the name",
        )
    raise not_found(cluster.namespace, name, known)


def newest(cluster: Cluster) -> Raw:
    """The job of the namespace that was made last."""
    items = all_of(cluster)
    if not items:
        raise Refused.of(
            "UTK0507",
            field="@latest",
            message=f"there is no job in namespace {cluster.namespace}",
            fix="utk submit FILE makes one; utk list -A looks everywhere",
        )
    return max(items, key=lambda item: item["metadata"]["creationTimestamp"])


def all_of(cluster: Cluster, *, selector: str = "", everywhere: bool = False) -> list[Raw]:
    """All jobs of the namespace, or of all namespaces, in the order of their names."""
    with asking("list", "" if everywhere else cluster.namespace):
        found = cluster.request(
            "GET", _path("" if everywhere else cluster.namespace), {"labelSelector": selector} if selector else None
        )
    items: list[Raw] = found["items"]
    return items


def delete(cluster: Cluster, name: str, *, dry_run: bool = False, uid: str | None = None) -> None:
    """Asks for the job's end; a job that is another one by now is not touched."""
    body: Raw = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    if dry_run:
        # In the body: beside a body the API server does not look at the query, and would delete for real.
        body["dryRun"] = ["All"]
    if uid:
        body["preconditions"] = {"uid": uid}
    with asking("delete", cluster.namespace, name):
        cluster.request("DELETE", _path(cluster.namespace, name), body=body)


def change(cluster: Cluster, raw: Raw, field: str, value: Any, *, dry_run: bool = False) -> Raw:
    """One field of the spec of this very job, as our own manager; all others are left to whoever manages them."""
    metadata = raw["metadata"]
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    if dry_run:
        query["dryRun"] = "All"
    body = {"metadata": {"uid": metadata["uid"]}, "spec": {field: value}}
    with asking("patch", metadata["namespace"], metadata["name"]):
        path = _path(metadata["namespace"], metadata["name"])
        changed: Raw = cluster.request("PATCH", path, query, body, "application/merge-patch+json")
    return changed


def let_go(cluster: Cluster, raw: Raw, *, dry_run: bool = False) -> None:
    """Takes the operator's finalizer off this very job, as it was read; those of others stay."""
    metadata, query = raw["metadata"], {"fieldManager": FIELD_MANAGER}
    if dry_run:
        query["dryRun"] = "All"
    held = metadata.get("finalizers") or []
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/finalizers", "value": held},
        {"op": "replace", "path": "/metadata/finalizers", "value": [one for one in held if one != names.FINALIZER]},
    ]
    with asking("patch", metadata["namespace"], metadata["name"]):
        path = _path(metadata["namespace"], metadata["name"])
        cluster.request("PATCH", path, query, operations, "application/json-patch+json")


def wait_gone(
    cluster: Cluster, name: str, uid: str, timeout: float | None, clock: Callable[[], float] = time.monotonic
) -> None:
    """Until no job of that uid is there."""
    until = None if timeout is None else clock() + timeout
    while (found := find(cluster, cluster.namespace, name)) is not None and found["metadata"]["uid"] == uid:
        if until is not None and clock() >= until:
            raise timed_out(f"{name} is still being deleted: it saves first, then its pods end")
        time.sleep(POLL_SECONDS)


def watch(
    cluster: Cluster,
    name: str,
    timeout: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    unanswered: Callable[[Problem], None] | None = None,
) -> Iterator[Raw]:
    """The job each time it has changed, first as it is; survives an API server that is away. Never ends by itself.

    `unanswered` is told, once, that no operator has seen the job as it is for ten seconds.
    """
    began = last_answer = clock()
    answered: float | None = began
    seen = ""
    while True:
        try:
            found = find(cluster, cluster.namespace, name)
            if found is None:
                raise not_found(cluster.namespace, name, [])
            last_answer = clock()
        except Refused as refused:
            if refused.problem.code not in {"UTK0503", "UTK0511"} or clock() - last_answer > PATIENCE_SECONDS:
                raise
            found = None
        if unanswered and answered is not None:
            if found is None or up_to_date(found):
                answered = clock()
            elif clock() - answered >= NOTICE_SECONDS:
                unanswered((silent if noticed(found) else unwatched)(cluster.namespace))
                answered = None
        if found is not None and found["metadata"]["resourceVersion"] != seen:
            seen = found["metadata"]["resourceVersion"]
            yield found
        if timeout is not None and clock() - began >= timeout:
            raise timed_out(f"{name} has not come so far in {timeout:g} s")
        time.sleep(POLL_SECONDS)


def ended(raw: Raw) -> bool:
    """Whether the job has succeeded or failed."""
    return (raw.get("status") or {}).get("phase") in TERMINAL


def noticed(raw: Raw) -> bool:
    """Whether an operator has seen the job at all."""
    return (raw.get("status") or {}).get("observedGeneration") is not None


def up_to_date(raw: Raw) -> bool:
    """Whether an operator has seen the spec as it is."""
    generation = (raw.get("status") or {}).get("observedGeneration")
    return generation is not None and generation >= raw["metadata"]["generation"]


def neglected(raw: Raw, now: datetime | None = None) -> Problem | None:
    """What to say of a job that no operator has noticed for too long."""
    if noticed(raw) or raw["metadata"].get("deletionTimestamp"):
        return None
    made = datetime.fromisoformat(raw["metadata"]["creationTimestamp"])
    if ((now or datetime.now(UTC)) - made).total_seconds() < NOTICE_SECONDS:
        return None
    return unwatched(raw["metadata"]["namespace"])


def wait_noticed(cluster: Cluster, raw: Raw, clock: Callable[[], float] = time.monotonic) -> tuple[Raw, Problem | None]:
    """The job once an operator has seen it, or what to say if none has within ten seconds."""
    until = clock() + NOTICE_SECONDS
    name = raw["metadata"]["name"]
    while not noticed(raw):
        if clock() >= until:
            return raw, unwatched(raw["metadata"]["namespace"])
        time.sleep(POLL_SECONDS / 4)
        raw = find(cluster, cluster.namespace, name) or raw
    return raw, None


def checkpoint_place(raw: Raw) -> str:
    """The folder of a job's checkpoints, which the caller's own credentials must open."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    said = (spec.get("checkpoint") or {}).get("uri")
    if said:
        return layout.job_uri(said, metadata["namespace"], metadata["name"])
    found = layout.address(str((status.get("checkpoint") or {}).get("uri") or ""))
    if found:
        return found.prefix
    raise Refused.of(
        "UTK0312",
        field=metadata["name"],
        message=f"{metadata['name']} has no checkpoint yet",
        fix=f"utk status {metadata['name']} shows how far it is",
    )


def replaced(raw: Raw) -> Refused:
    """Another job bears the name by now."""
    name = raw["metadata"]["name"]
    return Refused.of(
        "UTK0507",
        field=name,
        message=f"the job {name} is gone; another one bears its name by now",
        fix=f"utk status {name} shows that one",
    )


def timed_out(message: str) -> Refused:
    """It did not happen in time."""
    return Refused.of("UTK0609", field="--timeout", message=message, fix="wait longer, or look: utk status NAME")


def find(cluster: Cluster, namespace: str, name: str) -> Raw | None:
    with asking("get", namespace, name):
        try:
            found: Raw = cluster.request("GET", _path(namespace, name))
        except Exception as error:
            if getattr(error, "status", None) == 404 and _names_an_object(getattr(error, "body", None)):
                return None
            raise
    return found


def _names_an_object(body: Any) -> bool:
    """A 404 for the object says its name; one for an unknown kind does not."""
    try:
        return bool(json.loads(body).get("details", {}).get("name"))
    except (TypeError, ValueError, AttributeError):
        return False


def _said(raw: Raw, part: str) -> Any:
    return raw.get("spec") if part == "spec" else raw["metadata"].get(part)


def _path(namespace: str, name: str = "") -> str:
    place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"/apis/{GROUP_VERSION}{place}/{PLURAL}" + (f"/{quote(name, safe='')}" if name else "")
