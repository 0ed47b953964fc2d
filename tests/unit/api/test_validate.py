"""What is wrong with a job is said with code, field and fix, all of it at once."""

from typing import Any

import pytest

from ultrathink_api.errors import CODES, Problem, Refused
from ultrathink_api.validate import check
from vectors.reading import changed


def only(change: dict) -> Problem:
    job, problems = check(changed(change))
    assert job is None
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    ("change", "code", "field", "words"),
    [
        ({"workers.gpu": 2}, "UTK0102", "spec.workers.gpu", "did you mean gpus?"),
        ({"training.steps": "200"}, "UTK0103", "spec.training.steps", "correct"),
        ({"workers.count": 2.5}, "UTK0103", "spec.workers.count", "correct"),
        ({"workers.cpus": 1.5}, "UTK0103", "spec.workers.cpus", "correct"),
        ({"workers": {}}, "UTK0104", "spec.workers.count", "add count:"),
        ({"workers.count": -1}, "UTK0105", "spec.workers.count", "limits"),
        ({"workers.count": 10**9}, "UTK0105", "spec.workers.count", "limits"),
        ({"workers.cpus": 0}, "UTK0105", "spec.workers.cpus", "limits"),
        ({"workers.cpus": "0.00"}, "UTK0105", "spec.workers.cpus", "limits"),
        ({"workers.cpus": 10**19}, "UTK0105", "spec.workers.cpus", "limits"),
        ({"workers.memory": "lots"}, "UTK0105", "spec.workers.memory", "limits"),
        ({"training.precision": "fp8"}, "UTK0103", "spec.training.precision", "correct"),
        ({"model.moe": {"balance": "fair"}}, "UTK0103", "spec.model.moe.balance", "correct"),
        ({"data": None}, "UTK0103", "spec.data", "correct"),
    ],
)
def test_a_wrong_field_is_named(change: dict, code: str, field: str, words: str) -> None:
    problem = only(change)
    assert (problem.code, problem.field) == (code, field)
    assert words in problem.fix


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ({"checkpoint": None}, lambda spec: spec.checkpoint.grace_seconds == 60),
        ({"suspend": None}, lambda spec: spec.suspend is False),
        ({"health": {"hangFloorSeconds": None}}, lambda spec: spec.health.hang_floor_seconds == 30),
        ({"workers.cpus": None}, lambda spec: spec.workers.cpus is None),
        ({"training.steps": 200.0}, lambda spec: spec.training.steps == 200),
        ({"health": {"hang": 40.0}}, lambda spec: spec.health.hang == 40),
    ],
)
def test_null_is_the_default_and_a_whole_float_an_integer_as_in_the_api_server(change: dict, read: Any) -> None:
    job, problems = check(changed(change))
    assert not problems
    assert job is not None and read(job.spec)


def test_a_number_that_is_not_whole_is_no_integer() -> None:
    assert only({"training.steps": 200.5}).code == "UTK0103"


def test_all_that_is_wrong_is_said_at_once() -> None:
    _, problems = check(changed({"workers.gpu": 2, "training.steps": 0, "data": {"sequenceLength": "long"}}))
    assert {p.field for p in problems} == {"spec.workers.gpu", "spec.training.steps", "spec.data.sequenceLength"}


def test_another_kind_is_refused_by_name() -> None:
    job, (problem,) = check({"apiVersion": "v1", "kind": "Pod"})
    assert job is None
    assert problem.code == "UTK0101"
    assert "v1 Pod" in problem.message


def test_a_refusal_needs_a_registered_code() -> None:
    assert Refused.of("UTK0110", message="m", fix="f").problem.code in CODES
    with pytest.raises(AssertionError):
        Refused.of("UTK9999", message="m", fix="f")
