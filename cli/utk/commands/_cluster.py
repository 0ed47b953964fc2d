"""What the commands for clusters share: the cluster that is meant, and how a job is told in a line."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ultrathink_api.errors import Refused
from utk import exits, problems
from utk.console import clean, console
from utk.events import duration

if TYPE_CHECKING:
    from ultrathink import Job
    from ultrathink.cluster.connect import Cluster
    from ultrathink_api.errors import Problem

Raw = dict[str, Any]

PHASE_COLORS = {"Running": "green", "Succeeded": "green", "Failed": "red", "Recovering": "yellow", "Pending": "yellow"}


def connect(namespace: str, context: str, kubeconfig: str) -> "Cluster":
    """The cluster that kubectl would speak to, with the same options."""
    from ultrathink.cluster.connect import connect as to

    return to(namespace=namespace, context=context, kubeconfig=kubeconfig)


def aimed(cluster: "Cluster", job: "Job", namespace: str) -> "Cluster":
    """The cluster with the namespace that the file names, unless -n says another."""
    from dataclasses import replace

    said = job.raw["metadata"].get("namespace")
    if said and namespace and said != namespace:
        raise Refused.of(
            "UTK0604",
            field="-n",
            message=f"the file says namespace {said}, -n says {namespace}",
            fix="leave one of them out",
        )
    return replace(cluster, namespace=said) if said else cluster


def named(cluster: "Cluster", name: str) -> Raw:
    """The job of that name; a person may type the beginning alone, a script may not."""
    from ultrathink.cluster import jobs

    return jobs.get(cluster, name, guess=console.asks)


def phase_of(raw: Raw) -> str:
    """Where the job is; Deleting and NoOperator are no phases of it, but what is seen from here."""
    from ultrathink.cluster import jobs

    if raw["metadata"].get("deletionTimestamp"):
        return "Deleting"
    status = raw.get("status") or {}
    return clean(str(status.get("phase") or ("Unwatched" if jobs.neglected(raw) else "Pending")))


def situation(raw: Raw) -> str:
    """Phase, reason and message in one line."""
    status = raw.get("status") or {}
    workers = status.get("workers") or {}
    count = f"{workers.get('ready', 0)}/{workers['desired']} workers ready" if workers.get("desired") else ""
    said = [phase_of(raw), clean(str(status.get("reason") or "")), count, clean(str(status.get("message") or ""))]
    return " · ".join(part for part in said if part)


def told(
    cluster: "Cluster",
    raw: Raw,
    limit: float | None,
    until: Callable[[Raw], bool],
    unanswered: "Callable[[Problem], None] | None" = None,
) -> Raw:
    """Waits for this very job, telling each change of its situation once on stderr; the job as it is then."""
    from ultrathink.cluster import jobs

    before = ""
    for now in jobs.watch(cluster, raw["metadata"]["name"], limit, unanswered=unanswered):
        if now["metadata"]["uid"] != raw["metadata"]["uid"]:
            raise jobs.replaced(now)
        said = situation(now)
        if said != before:
            before = said
            console.say(f"{console.stamp()}{said}")
        if until(now):
            return now
    raise AssertionError("a watch never ends by itself")


def say_neglect(items: list[Raw]) -> None:
    """Explains once a namespace why nothing happens to its jobs."""
    found = _neglect_of(items)
    if found:
        problems.complain(found, kind="warning")


def warnings_of(items: list[Raw]) -> list[dict[str, str]]:
    """The same for programs."""
    return [problem.dump() for problem in _neglect_of(items)]


def _neglect_of(items: list[Raw]) -> "list[Problem]":
    from ultrathink.cluster import jobs

    found = (jobs.neglected(item) for item in items)
    return list(dict.fromkeys(problem for problem in found if problem))


def view(raw: Raw) -> Raw:
    """A job as programs read it: what identifies it, and its status as the operator wrote it."""
    metadata = raw["metadata"]
    kept = ("name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp", "labels")
    return {
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": raw.get("spec") or {},
        "status": raw.get("status") or {},
    }


def age(text: str | None) -> str:
    """How long ago a time of the API server was."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return duration(max(0.0, (datetime.now(UTC) - moment).total_seconds()))


def exit_of(raw: Raw) -> int:
    """The exit code of a job that has ended."""
    return exits.JOB_FAILED if (raw.get("status") or {}).get("phase") == "Failed" else exits.OK
