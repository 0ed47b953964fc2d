"""What happened to a job, by time: its own status and the Events of what was made for it, as one list."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ultrathink.cluster import jobs
from ultrathink.cluster.connect import Cluster
from ultrathink.cluster.jobs import Raw
from ultrathink.cluster.translate import asking
from ultrathink_api import names
from ultrathink_api.errors import Refused
from ultrathink_api.job import KIND

PAGE = 500
"""Events a request: a busy namespace holds thousands."""

UNWELCOME = frozenset({("Valid", "False"), ("CheckpointFresh", "False"), ("Degraded", "True"), ("Failed", "True")})
"""Conditions that somebody should look at."""

AWAY = frozenset({"UTK0503", "UTK0511"})
"""The API server does not answer just now, or is not well."""

NORMAL, WARNING = "Normal", "Warning"
STARTED = "AttemptStarted"


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened; what has no time has ended before the attempt under way began."""

    time: str | None
    type: str
    object: str
    reason: str
    message: str = ""
    count: int = 1

    def dump(self) -> dict[str, Any]:
        """JSON for programs."""
        return asdict(self)


def events_of(cluster: Cluster, raw: Raw) -> list[Raw]:
    """The Events of the job and of all objects of its clusters, those that are gone included."""
    namespace, found, token = raw["metadata"]["namespace"], [], ""
    while True:
        query = {"limit": str(PAGE), **({"continue": token} if token else {})}
        with asking("list", namespace, resource="events"):
            page = cluster.request("GET", f"/api/v1/namespaces/{namespace}/events", query)
        found += [event for event in page["items"] if belongs(event, raw)]
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return found


def follow(
    cluster: Cluster,
    raw: Raw,
    known: Iterable[Moment],
    events: Callable[[Raw], Iterable[Raw]],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Moment]:
    """What is not known yet, as it happens, until the job has ended; survives an API server that is away."""
    seen, last_answer = set(known), clock()
    while not jobs.ended(raw):
        time.sleep(jobs.POLL_SECONDS)
        try:
            now = jobs.get(cluster, raw["metadata"]["name"])
            if now["metadata"]["uid"] != raw["metadata"]["uid"]:
                raise jobs.replaced(now)
            moments = timeline(now, events(now))
        except Refused as refused:
            if refused.problem.code not in AWAY or clock() - last_answer > jobs.PATIENCE_SECONDS:
                raise
            continue
        raw, last_answer = now, clock()
        for moment in moments:
            if moment not in seen:
                seen.add(moment)
                yield moment


def belongs(event: Raw, raw: Raw) -> bool:
    """Whether an Event speaks of this job or of something made for it, and not for an older job of its name."""
    about = event.get("involvedObject") or {}
    if about.get("kind") == KIND:
        return bool(about.get("uid") == raw["metadata"]["uid"])
    made = _time(raw["metadata"]["creationTimestamp"])
    when = _time(_when(event))
    name = re.escape(raw["metadata"]["name"])
    ours = re.fullmatch(rf"{name}-\d+(-({names.HEAD}|{names.WORKER})(-\d+)?)?", str(about.get("name") or ""))
    return bool(ours and made and when and when >= made)


def timeline(raw: Raw, events: Iterable[Raw] = ()) -> list[Moment]:
    """All of it, oldest first."""
    status = raw.get("status") or {}
    found = [*_of_status(raw), *(_of_event(event) for event in events)]
    found.sort(key=lambda moment: moment.time or "")
    number = (status.get("attempt") or {}).get("number") or 0
    for record in (status.get("restarts") or {}).get("history") or []:
        past = (record.get("attempt") or 0) < number
        next_ = (_attempt(number), STARTED) if past else (_job(raw), str(status.get("phase")))
        at = (i for i, moment in enumerate(found) if (moment.object, moment.reason) == next_)
        found.insert(next(at, len(found)), _of_attempt(record))
    return found


def _of_status(raw: Raw) -> Iterator[Moment]:
    metadata, status = raw["metadata"], raw.get("status") or {}
    job = _job(raw)
    yield Moment(_stamp(metadata["creationTimestamp"]), NORMAL, job, "Created")
    if status.get("startedAt"):
        yield Moment(_stamp(status["startedAt"]), NORMAL, job, "Started", "its first cluster was made")
    attempt = status.get("attempt") or {}
    if attempt.get("startedAt"):
        after = f"after {attempt['cause']}" if attempt.get("cause") else ""
        yield Moment(_stamp(attempt["startedAt"]), NORMAL, _attempt(attempt.get("number")), STARTED, after)
    saved = status.get("checkpoint") or {}
    if saved.get("committedAt"):
        where = f"{saved.get('uri') or ''}"
        yield Moment(_stamp(saved["committedAt"]), NORMAL, f"checkpoint/step-{saved.get('step')}", "Committed", where)
    for condition in status.get("conditions") or []:
        kind, holds = str(condition.get("type")), str(condition.get("status"))
        yield Moment(
            _stamp(condition.get("lastTransitionTime")) or _stamp(metadata["creationTimestamp"]),
            WARNING if (kind, holds) in UNWELCOME else NORMAL,
            f"condition/{kind}={holds}",
            str(condition.get("reason") or ""),
            _line(condition.get("message")),
        )
    if status.get("endedAt"):
        kind = WARNING if status.get("phase") == "Failed" else NORMAL
        said = " — ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        yield Moment(_stamp(status["endedAt"]), kind, job, str(status.get("phase") or "Ended"), _line(said))


def _of_attempt(record: Mapping[str, Any]) -> Moment:
    said = [f"{word} {record[key]}" for key, word in _RECORDED.items() if record.get(key) is not None]
    cause = record.get("cause")
    number = _attempt(record.get("attempt"))
    return Moment(None, WARNING if cause else NORMAL, number, str(cause or "Completed"), ", ".join(said))


_RECORDED = {
    "rank": "rank",
    "node": "on",
    "exitCode": "exit code",
    "lostSteps": "lost steps",
    "rung": "rung",
    "recoverySeconds": "seconds to recover",
}


def _of_event(event: Mapping[str, Any]) -> Moment:
    about = event.get("involvedObject") or {}
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    return Moment(
        _stamp(_when(event)),
        str(event.get("type") or NORMAL),
        f"{str(about.get('kind') or 'object').lower()}/{about.get('name') or ''}",
        str(event.get("reason") or ""),
        _line(event.get("message")),
        int(count),
    )


def _when(event: Mapping[str, Any]) -> str | None:
    """When it happened last; which field holds that depends on the age of its author."""
    series = event.get("series") or {}
    found = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return found or event.get("firstTimestamp") or event["metadata"].get("creationTimestamp")


def _job(raw: Raw) -> str:
    return f"job/{raw['metadata']['name']}"


def _attempt(number: Any) -> str:
    return f"attempt/{number}"


def _line(text: Any) -> str:
    return " ".join(str(text or "").split())


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None


def _stamp(text: Any) -> str | None:
    """Whole seconds of UTC, so that texts sort as times do."""
    moment = _time(text) if text else None
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
