"""Why a job is where it is: its status, pods and logs looked at in a fixed order, and one verdict."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ultrathink.cluster import jobs
from ultrathink.cluster.connect import Cluster
from ultrathink.cluster.jobs import Raw
from ultrathink.cluster.preflight import Check, State
from ultrathink.cluster.translate import asking
from ultrathink_api import cures
from ultrathink_api.errors import CODES, Problem, Refused

TAIL_LINES = 1_000
"""Of each pod's log."""
LAST_LINES = 50
"""Of them, what a verdict is looked for in."""
OLD_SECONDS = 60.0
"""The operator asks a supervisor every ten seconds and writes at least every thirty: older is news by itself."""
OUT_OF_MEMORY = 137
WAITING = frozenset({"Pending", "Planned", "Queued", "Scheduling", "Starting"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was looked at; what may not be read is named in `unread`."""

    job: Raw
    pods: Sequence[Raw] = ()
    events: Sequence[Raw] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    unread: Sequence[Problem] = ()


def gather(cluster: Cluster, job: Raw) -> Evidence:
    """The job's pods, Events and the ends of its logs, as far as the caller may read them."""
    from ultrathink.cluster.logs import has_log, pods_of
    from ultrathink.cluster.timeline import events_of

    unread = []

    def allowed(read: Any) -> Any:
        try:
            return read()
        except Refused as refused:
            if refused.problem.code != "UTK0505":
                raise
            unread.append(refused.problem)
            return None

    found = allowed(lambda: pods_of(cluster, job)) or []
    events = allowed(lambda: events_of(cluster, job)) or []
    logs = {}
    for pod in found:
        if has_log(pod):
            text = allowed(lambda pod=pod: _tail(cluster, pod))
            if text is None:
                break  # who may not read one log may read none
            logs[pod["metadata"]["name"]] = text
    return Evidence(job, found, events, logs, unread)


def _tail(cluster: Cluster, pod: Raw) -> str:
    """The end of a log; empty where it cannot be had just now."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    from ultrathink.cluster.logs import IDLE_SECONDS, NOT_JUST_NOW, POD_LOG, RETRY_SECONDS

    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    query = {"container": pod["spec"]["containers"][0]["name"], "tailLines": str(TAIL_LINES)}
    for pause in (RETRY_SECONDS, 0):
        try:
            with cluster.stream(f"/api/v1/namespaces/{namespace}/pods/{name}/log", query, IDLE_SECONDS) as response:
                return bytes(response.data).decode("utf-8", "replace")
        except ApiException as error:
            if error.status not in NOT_JUST_NOW:
                with asking("get", namespace, name, POD_LOG):
                    raise
        except (HTTPError, OSError):
            pass  # the node does not answer, or not any more
        time.sleep(pause)
    return ""


def examine(found: Evidence, now: datetime) -> list[Check]:
    """All looks, in the order of a job's way: operator, spec, place, pods, training, store, end."""
    return [check for look in (_operator, _spec, _place, _pods, _training, _attempts, _store, _log, _rights)
            for check in look(found, now)]  # fmt: skip


def verdict(checks: Iterable[Check]) -> Check | None:
    """The first that fails, else the first that warns: what comes later follows from it."""
    seen = list(checks)
    for state in (State.FAIL, State.WARN):
        for check in seen:
            if check.state == state:
                return check
    return None


def _operator(found: Evidence, now: datetime) -> Iterator[Check]:
    neglect = jobs.neglected(found.job)
    if neglect:
        yield Check("operator", State.FAIL, neglect.message, neglect.fix, neglect.code)
        return
    seen, asked = _status(found).get("observedGeneration"), found.job["metadata"].get("generation")
    if seen is None:
        yield Check("operator", State.WARN, "has not taken notice of the job yet")
    elif asked and seen < asked:
        yield Check("operator", State.WARN, f"speaks of generation {seen}, and {asked} is asked for")
    else:
        yield Check("operator", State.OK, "knows the job as it stands")


def _spec(found: Evidence, now: datetime) -> Iterator[Check]:
    bad = [
        _told("spec", State.FAIL, found, c) for c in _conditions(found, "False") if c["type"] in {"Valid", "Admitted"}
    ]
    if bad:
        yield from bad
    elif any(c["type"] == "Valid" for c in _conditions(found, "True")):
        yield Check("spec", State.OK, "valid, and within what its runtime allows")


def _place(found: Evidence, now: datetime) -> Iterator[Check]:
    waits = str(_status(found).get("phase") or "Pending") in WAITING
    for condition in _conditions(found, "False"):
        if condition["type"] == "Scheduled" and waits:
            yield _told("place", State.FAIL, found, condition)
            return
    if any(c["type"] == "Scheduled" for c in _conditions(found, "True")):
        workers = _status(found).get("workers") or {}
        yield Check("place", State.OK, f"{workers.get('ready', 0)} of {workers.get('desired', 0)} workers are ready")


def _pods(found: Evidence, now: datetime) -> Iterator[Check]:
    healthy = 0
    for pod in found.pods:
        name, troubles = pod["metadata"]["name"], list(_troubles(pod))
        healthy += not troubles
        for state, message, cause in troubles:
            yield Check("pods", state, f"{name}: {message}", _fix(cause, found))
    if healthy:
        yield Check("pods", State.OK, f"{healthy} of {len(found.pods)} have nothing to say")


def _troubles(pod: Raw) -> Iterator[tuple[State, str, str]]:
    """Of its containers: what they wait for, and how they ended."""
    if pod["metadata"].get("deletionTimestamp"):
        yield State.WARN, "is being deleted", ""
    for status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in {"ContainerCreating", "PodInitializing"}:
            pull = "ImagePullError" if "mage" in waiting["reason"] else ""
            yield State.FAIL, _line(f"{waiting['reason']} {waiting.get('message') or ''}"), pull
        ended = (status.get("lastState") or {}).get("terminated") or {}
        if ended.get("exitCode") == OUT_OF_MEMORY or ended.get("reason") == "OOMKilled":
            yield State.WARN, f"was killed ({ended.get('reason')}, exit code {ended.get('exitCode')})", "OutOfMemory"
        elif status.get("restartCount"):
            said = f", the last time with exit code {ended['exitCode']}" if "exitCode" in ended else ""
            yield State.WARN, f"began anew {status['restartCount']} times{said}", ""


def _training(found: Evidence, now: datetime) -> Iterator[Check]:
    status = _status(found)
    phase, step = str(status.get("phase") or ""), (status.get("progress") or {}).get("step")
    if phase == "Failed":
        code = _code(status)
        yield Check("training", State.FAIL, _said(status), _fix(str(status.get("reason")), found), code)
    elif phase == "Succeeded":
        yield Check("training", State.OK, f"ended well at step {step}")
    elif phase == "Running":
        silent = _seconds_since((status.get("progress") or {}).get("seenAt"), now)
        if silent is not None and silent > OLD_SECONDS:
            fix = f"kubectl get pods -n {found.job['metadata']['namespace']}; the head's log says whether it trains"
            yield Check("training", State.WARN, f"step {step}, seen {silent:.0f} s ago and not since", fix)
        else:
            yield Check("training", State.OK, f"step {step} of {(status.get('progress') or {}).get('of')}")
    elif phase and phase not in WAITING:
        yield Check("training", State.WARN, f"{phase}: {_said(status)}" if _said(status) else phase)


def _attempts(found: Evidence, now: datetime) -> Iterator[Check]:
    failed = [record for record in (_status(found).get("restarts") or {}).get("history") or [] if record.get("cause")]
    if not failed:
        return
    last = failed[-1]
    where = "".join(
        f", {word} {last[key]}" for key, word in (("rank", "rank"), ("node", "on")) if last.get(key) is not None
    )
    same = sum(record["cause"] == last["cause"] for record in failed)
    times = f"; {same} of the last {len(failed)} failures had this cause" if same > 1 else ""
    message = f"attempt {last.get('attempt')} ended by {last['cause']}{where}{times}"
    if _status(found).get("phase") == "Succeeded":
        yield Check("attempts", State.OK, f"{message}; the next ones went on")
    else:
        yield Check("attempts", State.WARN, message, _fix(last["cause"], found))


def _store(found: Evidence, now: datetime) -> Iterator[Check]:
    for condition in _conditions(found):
        if condition["type"] == "CheckpointFresh" and condition["status"] == "False":
            yield _told("store", State.WARN, found, condition)
        elif condition["type"] == "CheckpointFresh" and condition["status"] == "True":
            saved = (_status(found).get("checkpoint") or {}).get("step")
            yield Check("store", State.OK, f"the newest checkpoint is of step {saved}")


def _log(found: Evidence, now: datetime) -> Iterator[Check]:
    """The last error that a pod told: the head's own refusals are JSON with a code, all else are tracebacks."""
    for pod, text in found.logs.items():
        for line in reversed(text.splitlines()[-LAST_LINES:]):
            said = _complaint(line)
            if said:
                yield Check("log", State.WARN, f"{pod}: {said}")
                break


def _complaint(line: str) -> str:
    if line.startswith("{"):
        try:
            event = json.loads(line)
        except ValueError:
            return ""
        wanted = isinstance(event, dict) and event.get("event") in {"error", "warning"}
        return _line(" ".join(filter(None, (event.get("code"), event.get("message"))))) if wanted else ""
    word = line.split(":", 1)[0].rsplit(".", 1)[-1]
    return _line(line) if word.endswith(("Error", "Exception")) and " " not in word else ""


def _rights(found: Evidence, now: datetime) -> Iterator[Check]:
    for problem in found.unread:
        yield Check("rights", State.WARN, problem.message, problem.fix, problem.code)


def _told(name: str, state: State, found: Evidence, condition: Raw) -> Check:
    said = _line(" — ".join(filter(None, (condition.get("reason"), condition.get("message")))))
    return Check(name, state, said, _fix(str(condition.get("reason")), found), _code(condition))


def _fix(reason: str, found: Evidence) -> str:
    metadata = found.job["metadata"]
    return cures.of_reason(reason, name=metadata["name"], namespace=metadata["namespace"])


def _code(said: Raw) -> str:
    """The code that a message begins with."""
    first = str(said.get("message") or "").partition(" ")[0].strip(":")
    return first if first in CODES else ""


def _said(status: Raw) -> str:
    return _line(" — ".join(str(status[key]) for key in ("reason", "message") if status.get(key)))


def _status(found: Evidence) -> Raw:
    return found.job.get("status") or {}


def _conditions(found: Evidence, status: str = "") -> list[Raw]:
    return [c for c in _status(found).get("conditions") or [] if not status or c.get("status") == status]


def _containers(pod: Raw) -> list[Raw]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _seconds_since(text: Any, now: datetime) -> float | None:
    try:
        return (now - datetime.fromisoformat(str(text)).astimezone(UTC)).total_seconds()
    except ValueError:
        return None


def _line(text: str) -> str:
    return " ".join(text.split())
