"""The log of a job as one stream: over attempts, lost connections and replaced pods, until the job has ended."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ultrathink.cluster import jobs
from ultrathink.cluster.connect import Cluster
from ultrathink.cluster.jobs import Raw
from ultrathink.cluster.translate import asking
from ultrathink_api import names
from ultrathink_api.errors import Refused

IDLE_SECONDS = 15.0
"""A connection that brings nothing for so long is asked for again: its node may be gone without a word."""
RETRY_SECONDS = 1.0
LAST_WORDS_SECONDS = 10.0
"""After the job's end the rest of the log is still waited for so long: the status may be ahead of it."""
NOT_READY = ("Pending", "Planned", "Queued", "Scheduling")

_STAMPED = re.compile(r"(\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})) ?(.*)", re.DOTALL)
CHUNK = 1 << 16
POD_LOG = "pods/log"
LAST_EVENT = '{"event": "summary"'
"""How the supervisor's last line begins; after it the head only waits to be taken away."""
NOT_JUST_NOW = frozenset({400, 404, 429, 500, 502, 503, 504})
"""The container is not there yet, or gone, or its node does not answer: all of that passes."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a pod's log; the time is the kubelet's."""

    text: str
    time: str
    pod: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is not in the log: what is waited for, or that the stream goes on elsewhere."""

    text: str


@dataclass(slots=True)
class Resume:
    """Where in a container's log the stream has come to: told by time, and by the lines of that very moment."""

    pod: str = ""
    time: str = ""
    seen: set[str] = field(default_factory=set)
    finished: str = ""
    """The incarnation of the container that has said its last word."""

    def enter(self, pod: str) -> None:
        """Another pod has a log of its own, from its beginning."""
        if pod != self.pod:
            self.pod, self.time, self.seen = pod, "", set()

    def is_new(self, time_: str, text: str) -> bool:
        """Whether a line was not yet handed on; takes note of it."""
        if (self.time and _earlier(time_, self.time)) or (time_ == self.time and text in self.seen):
            return False
        if time_ != self.time:
            self.time, self.seen = time_, set()
        self.seen.add(text)
        return True


def stream(
    cluster: Cluster,
    name: str,
    *,
    follow: bool = False,
    rank: int | None = None,
    since: float | None = None,
    until: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Line | Notice]:
    """The log of the head, or of the pod where a rank runs. With `follow` it ends only when the job has."""
    raw = jobs.get(cluster, name)
    name = raw["metadata"]["name"]
    resume, told, ended_at = Resume(), "", None
    after = None if since is None else _stamp(datetime.now(UTC) - timedelta(seconds=since))
    while True:
        pod = _pod(cluster, raw, rank)
        if pod is not None and has_log(pod) and resume.finished != _incarnation(pod):
            yield from _moved(resume, pod)
            yield from _read(cluster, pod, resume, after, follow=follow and not jobs.ended(raw))
        elif not follow:
            raise _no_log(raw, rank)
        if not follow:
            return
        if jobs.ended(raw):
            ended_at = clock() if ended_at is None else ended_at
            # The head serves its outcome until the operator takes it away: what it said is all there.
            if resume.time or pod is None or clock() - ended_at > LAST_WORDS_SECONDS:
                return
        if until is not None and clock() >= until:
            raise jobs.timed_out(f"{name} has not ended in time")
        reason = _waiting_for(raw, pod)
        if reason and reason != told:
            told = reason
            yield Notice(reason)
        time.sleep(RETRY_SECONDS)
        raw = _again(cluster, raw)


def _again(cluster: Cluster, raw: Raw) -> Raw:
    """The job now; as it was, while the API server is away."""
    try:
        return jobs.get(cluster, raw["metadata"]["name"])
    except Refused as refused:
        if refused.problem.code in {"UTK0503", "UTK0511"}:
            return raw
        raise


def _pod(cluster: Cluster, raw: Raw, rank: int | None) -> dict[str, Any] | None:
    """The newest pod that has the log; None if there is none, or nobody can be asked just now."""
    role, index = _role(raw, rank)
    try:
        pods = pods_of(cluster, raw, {names.ROLE_LABEL: role})
    except Refused as refused:
        if refused.problem.code in {"UTK0503", "UTK0511"}:
            return None
        raise
    mine = [p for p in pods if role == names.HEAD or p["metadata"]["name"].rpartition("-")[2] == str(index)]
    return max(mine, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"]), default=None)


def pods_of(cluster: Cluster, raw: Raw, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The pods of a job that bear these labels too."""
    name, namespace = raw["metadata"]["name"], raw["metadata"]["namespace"]
    query = {"labelSelector": names.selector({names.JOB_LABEL: name, **(labels or {})})}
    with asking("list", namespace, resource="pods"):
        found: list[dict[str, Any]] = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods", query)["items"]
    return found


def _role(raw: Raw, rank: int | None) -> tuple[str, int]:
    """Ranks run in worker pods, in order; a job of one worker has them in its head."""
    workers = raw["spec"]["workers"]
    if rank is None or workers["count"] == 1:
        return names.HEAD, 0
    index = rank // max(int(workers.get("gpus") or 0), 1)
    if rank < 0 or index >= workers["count"]:
        raise Refused.of(
            "UTK0604",
            field="--rank",
            message=f"there is no rank {rank}",
            fix=f"ranks are 0 to {workers['count'] * max(int(workers.get('gpus') or 0), 1) - 1}",
        )
    return names.WORKER, index


def has_log(pod: dict[str, Any]) -> bool:
    """Whether one of its containers runs, or ran."""
    states = (pod.get("status") or {}).get("containerStatuses") or []
    return any("running" in (s.get("state") or {}) or "terminated" in (s.get("state") or {}) for s in states)


def _incarnation(pod: dict[str, Any]) -> str:
    """Another one has begun a log of its own."""
    states = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return f"{pod['metadata']['uid']}/{states[0].get('restartCount', 0)}"


def _moved(resume: Resume, pod: dict[str, Any]) -> Iterator[Notice]:
    uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
    if resume.pod and resume.pod != uid:
        yield Notice(f"the pod was replaced; going on with {name}")
    resume.enter(uid)


def _read(cluster: Cluster, pod: dict[str, Any], resume: Resume, after: str | None, *, follow: bool) -> Iterator[Line]:
    """Lines until the connection ends, however it ends; the caller asks again."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    query = {"container": pod["spec"]["containers"][0]["name"], "timestamps": "true", "follow": str(follow).lower()}
    since = resume.time or after
    if since:
        query["sinceTime"] = since
    try:
        response = cluster.stream(f"/api/v1/namespaces/{namespace}/pods/{name}/log", query, IDLE_SECONDS)
    except ApiException as error:
        if error.status in NOT_JUST_NOW:
            return
        with asking("get", namespace, name, POD_LOG):
            raise
    except (HTTPError, OSError):
        return
    try:
        for text in _lines(response):
            stamped = _STAMPED.match(text)
            at, said = (stamped[1], stamped[2]) if stamped else (resume.time, text)
            if resume.is_new(at, said):
                yield Line(said, at, name)
            if said.startswith(LAST_EVENT):
                resume.finished = _incarnation(pod)
                return
    except (HTTPError, OSError):
        return
    finally:
        response.close()


def _lines(response: Any) -> Iterator[str]:
    rest = b""
    for piece in iter(lambda: response.read1(CHUNK), b""):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def _waiting_for(raw: Raw, pod: dict[str, Any] | None) -> str:
    status = raw.get("status") or {}
    neglect = jobs.neglected(raw)
    if neglect:
        return f"{neglect.code}: {neglect.message}; {neglect.fix}"
    if pod is not None and has_log(pod) and status.get("phase") not in NOT_READY:
        return ""
    phase = status.get("phase") or "Pending"
    return " — ".join(filter(None, [f"waiting: {phase}", status.get("reason"), status.get("message")]))


def _no_log(raw: Raw, rank: int | None) -> Refused:
    name = raw["metadata"]["name"]
    what = "the head" if rank is None else f"rank {rank}"
    why = _waiting_for(raw, None) if not jobs.ended(raw) else "the job has ended and its pods are gone"
    return Refused.of(
        "UTK0507",
        field=name,
        message=f"there is no pod with the log of {what} of {name}",
        why=why,
        fix=f"utk logs -f {name} waits for it; utk status {name} shows how far it is",
    )


def _earlier(one: str, other: str) -> bool:
    """Of two times of one kubelet; digits after the dot may differ in number."""
    return _comparable(one) < _comparable(other)


def _comparable(text: str) -> tuple[str, str]:
    whole, _, rest = text.removesuffix("Z").partition(".")
    return whole, rest.ljust(9, "0")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
