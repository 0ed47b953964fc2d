"""What is wrong with a job is said with code, field and fix, all of it at once."""

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
