"""Answers of an API server that are errors, in our words."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ultrathink.cluster import jobs, logs
from ultrathink.cluster.translate import RESOURCE, refusal

FORBIDDEN = {
    "reason": "Forbidden",
    "message": 'ultrathinkjobs.ultrathink.io is forbidden: User "mallory" cannot list resource "ultrathinkjobs"',
}
CEL = {
    "reason": "Invalid",
    "message": "UltraThinkJob is invalid",
    "details": {
        "name": "a",
        "causes": [
            {
                "field": "spec.model",
                "message": 'Invalid value: "object": UTK0122 every size must be given (fix: set model.preset)',
            }
        ],
    },
}


def problem(status: int, body: Any, verb: str = "get") -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return refusal(status, text, verb, "team-a", "moe", RESOURCE).problem


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"message": "Unauthorized"}, "UTK0504"),
        (403, FORBIDDEN, "UTK0505"),
        (404, "404 page not found\n", "UTK0506"),
        (404, {"message": "not found", "details": {"name": "moe", "kind": "ultrathinkjobs"}}, "UTK0507"),
        (404, {"message": "not found", "details": {"name": "team-a", "kind": "namespaces"}}, "UTK0512"),
        (409, {"message": "conflict"}, "UTK0508"),
        (422, CEL, "UTK0122"),
        (403, {"reason": "Forbidden", "message": "policy says UTK0128 no files (fix: use s3)"}, "UTK0128"),
        (400, {"message": "strict decoding error"}, "UTK0510"),
        (503, "upstream connect error", "UTK0511"),
    ],
)
def test_each_error_has_a_code(status: int, body: Any, code: str) -> None:
    found = problem(status, body)
    assert found.code == code
    assert found.message and found.fix


def test_what_is_forbidden_is_named_with_the_role_to_ask_for() -> None:
    found = problem(403, FORBIDDEN, "list")
    assert found.field == "list ultrathinkjobs.ultrathink.io in team-a"
    assert "kubectl auth can-i list ultrathinkjobs.ultrathink.io -n team-a" in found.fix


def test_a_rule_of_the_api_server_keeps_its_message_and_fix() -> None:
    found = problem(422, CEL)
    assert (found.field, found.message, found.fix) == ("spec.model", "every size must be given", "set model.preset")


NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def job(seconds: float, **more: Any) -> dict[str, Any]:
    made = (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"metadata": {"name": "a", "namespace": "team-a", "creationTimestamp": made}, **more}


def test_a_job_is_neglected_after_ten_seconds_without_notice() -> None:
    assert jobs.neglected(job(9), NOW) is None
    found = jobs.neglected(job(11), NOW)
    assert found is not None and found.code == "UTK0509"
    assert "watchNamespaces={team-a}" in found.fix
    assert jobs.neglected(job(11, status={"observedGeneration": 1}), NOW) is None


def test_the_folder_of_a_jobs_checkpoints() -> None:
    said = {**job(1), "spec": {"checkpoint": {"uri": "s3://runs/x"}}}
    assert jobs.checkpoint_place(said) == "s3://runs/x/team-a/a"
    seen = {**job(1), "status": {"checkpoint": {"uri": "s3://runs/team-a/a/uid-1/epoch-2/step-40"}}}
    assert jobs.checkpoint_place(seen) == "s3://runs/team-a/a"


def test_a_stream_hands_on_each_line_once_however_often_it_is_asked_again() -> None:
    resume = logs.Resume()
    resume.enter("pod-1")
    lines = [("2026-01-01T00:00:01.1Z", "a"), ("2026-01-01T00:00:01.10Z", "a"), ("2026-01-01T00:00:01.2Z", "b")]
    assert [resume.is_new(*line) for line in lines] == [True, True, True]
    assert [resume.is_new(*line) for line in lines] == [False, False, False]
    assert resume.is_new("2026-01-01T00:00:01.2Z", "c")
    resume.enter("pod-2")
    assert resume.is_new("2026-01-01T00:00:00Z", "a")
