"""The timeline of a job: order, what belongs to it, and what Events of all ages look like."""

from typing import Any

import pytest

from ultrathink.cluster.timeline import belongs, follow, timeline
from ultrathink_api.errors import Refused

JOB: dict[str, Any] = {
    "metadata": {"name": "moe", "namespace": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {
        "phase": "Running",
        "startedAt": "2026-01-01T00:00:02Z",
        "attempt": {"number": 3, "startedAt": "2026-01-01T00:05:00Z", "cause": "OutOfMemory"},
        "checkpoint": {"step": 40, "uri": "s3://x", "committedAt": "2026-01-01T00:06:00Z"},
        "conditions": [
            {"type": "Running", "status": "True", "reason": "Training", "lastTransitionTime": "2026-01-01T00:05:30Z"},
            {"type": "Degraded", "status": "True", "reason": "Pods", "lastTransitionTime": "2026-01-01T00:01:00Z"},
        ],
        "restarts": {"history": [{"attempt": 1, "cause": "WorkerLost", "rank": 1}, {"attempt": 2, "exitCode": 137}]},
    },
}


def event(name: str, kind: str = "Pod", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": "2026-01-01T00:04:00Z"},
        "involvedObject": {"kind": kind, "name": name, "uid": "pod"},
        "type": "Warning",
        "reason": "BackOff",
        "message": "pulling\n  failed",
        **more,
    }


def test_all_of_it_stands_in_the_order_of_time() -> None:
    said = [(moment.object, moment.reason) for moment in timeline(JOB, [event("moe-1-head-0")])]
    assert said == [
        ("job/moe", "Created"),
        ("job/moe", "Started"),
        ("condition/Degraded=True", "Pods"),
        ("pod/moe-1-head-0", "BackOff"),
        ("attempt/1", "WorkerLost"),
        ("attempt/2", "Completed"),
        ("attempt/3", "AttemptStarted"),
        ("condition/Running=True", "Training"),
        ("checkpoint/step-40", "Committed"),
    ]


def test_what_should_be_looked_at_is_a_warning_and_messages_are_one_line() -> None:
    found = {moment.object: moment for moment in timeline(JOB, [event("moe-1-head-0", count=7)])}
    assert found["condition/Degraded=True"].type == "Warning"
    assert found["condition/Running=True"].type == "Normal"
    assert (found["pod/moe-1-head-0"].message, found["pod/moe-1-head-0"].count) == ("pulling failed", 7)
    assert found["attempt/1"].message == "rank 1" and found["attempt/1"].time is None


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"lastTimestamp": "2026-01-01T00:07:00Z", "firstTimestamp": "2026-01-01T00:01:00Z"}, "00:07:00"),
        ({"lastTimestamp": None, "eventTime": "2026-01-01T00:08:00.123456Z"}, "00:08:00"),
        ({"eventTime": "2026-01-01T00:08:00Z", "series": {"lastObservedTime": "2026-01-01T00:09:00Z"}}, "00:09:00"),
        ({}, "00:04:00"),
    ],
)
def test_an_event_happened_when_it_was_seen_last(times: dict[str, Any], expected: str) -> None:
    (found,) = [moment for moment in timeline(JOB, [event("moe-1-head-0", **times)]) if moment.reason == "BackOff"]
    assert found.time == f"2026-01-01T{expected}Z"


@pytest.mark.parametrize(
    ("name", "kind", "ours"),
    [
        ("moe-1", "Service", True),
        ("moe-1-head", "StatefulSet", True),
        ("moe-12-worker-3", "Pod", True),
        ("moe", "UltraThinkJob", False),
        ("moe", "Pod", False),
        ("moe-1-1-head-0", "Pod", False),
        ("moe-8b-1-head-0", "Pod", False),
        ("other-1-head-0", "Pod", False),
    ],
)
def test_an_event_belongs_to_the_job_whose_objects_it_names(name: str, kind: str, ours: bool) -> None:
    assert belongs(event(name, kind), JOB) is ours


def test_events_of_an_older_job_of_the_same_name_do_not_belong() -> None:
    assert not belongs(event("moe-1-head-0", lastTimestamp="2025-12-31T23:59:59Z"), JOB)
    mine = event("moe", "UltraThinkJob", involvedObject={"kind": "UltraThinkJob", "name": "moe", "uid": "u"})
    assert belongs(mine, JOB)


def test_what_an_api_server_that_is_away_hides_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {**JOB, "status": {**JOB["status"], "phase": "Succeeded", "endedAt": "2026-01-01T00:09:00Z"}}
    answers = iter([Refused.of("UTK0503", message="away", fix="wait"), ended])

    def get(*_: Any) -> dict[str, Any]:
        answer = next(answers)
        if isinstance(answer, Refused):
            raise answer
        return answer

    monkeypatch.setattr("ultrathink.cluster.jobs.get", get)
    monkeypatch.setattr("ultrathink.cluster.jobs.POLL_SECONDS", 0.0)
    cluster: Any = None
    (found,) = follow(cluster, JOB, timeline(JOB), lambda job: [])
    assert (found.object, found.reason) == ("job/moe", "Succeeded")
