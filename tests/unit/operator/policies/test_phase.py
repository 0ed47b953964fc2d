"""The phase is the first that holds, in the order of the API."""

from typing import Any

import pytest

from ultrathink_api.status import AttemptStatus, ClusterStatus, Condition, JobStatus, ProgressStatus
from ultrathink_operator.policies import phase

ONE = ClusterStatus(number=1)
FIRST, SECOND = AttemptStatus(number=1), AttemptStatus(number=2)
STEPPED = ProgressStatus(step=5, of=200, percent="2%")


def conditions(*said: str) -> dict[str, Condition]:
    """`Running` is true, `!Running` false, `Scheduled:Why` false for that reason."""
    made = {}
    for one in said:
        name, _, reason = one.lstrip("!").partition(":")
        status: Any = "False" if one.startswith("!") or reason else "True"
        made[name] = Condition(type=name, status=status, reason=reason or "Because", message=f"why {name}")
    return made


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        ({}, [], "Pending"),
        ({}, ["!Valid"], "Pending"),
        ({}, ["Valid", "!Admitted"], "Pending"),
        ({}, ["Valid", "Admitted"], "Planned"),
        ({"cluster": ONE}, ["Valid", "Scheduled:Creating"], "Scheduling"),
        ({"cluster": ONE}, ["Valid", "Scheduled:Unschedulable"], "Scheduling"),
        ({"cluster": ONE}, ["Valid", "Scheduled:QuotaExceeded"], "Queued"),
        ({"cluster": ONE}, ["Valid", "Scheduled", "!Running"], "Starting"),
        ({"cluster": ONE, "attempt": FIRST}, ["Scheduled", "!Running"], "Starting"),
        ({"cluster": ONE, "attempt": SECOND}, ["Scheduled", "!Running"], "Recovering"),
        ({"cluster": ONE, "attempt": SECOND}, ["!Scheduled", "!Running"], "Recovering"),
        ({"cluster": ONE, "attempt": FIRST, "progress": STEPPED}, ["!Scheduled", "!Running"], "Recovering"),
        ({"cluster": ONE, "attempt": SECOND}, ["Scheduled", "Running"], "Running"),
        ({"cluster": ONE}, ["Running", "Suspended:Deleting"], "Suspending"),
        ({"cluster": ONE}, ["Running", "Suspended"], "Suspended"),
        ({"cluster": ONE}, ["Running", "Complete"], "Succeeded"),
        ({"cluster": ONE}, ["Running", "Complete", "Failed"], "Failed"),
    ],
)
def test_the_first_that_holds(status: dict[str, Any], said: list[str], expected: str) -> None:
    assert phase.derive(JobStatus(**status), conditions(*said)) == expected


@pytest.mark.parametrize(
    ("where", "said", "why"),
    [
        ("Scheduling", ["Scheduled:Unschedulable", "!Running"], "Scheduled"),
        ("Starting", ["Scheduled", "!Running"], "Running"),
        ("Recovering", ["!Scheduled", "!Running"], "Scheduled"),
        ("Running", ["Running", "Progressing:ProgressUnknown"], "Progressing"),
        ("Running", ["Running", "Progressing", "!Valid"], "Valid"),
        ("Succeeded", ["Complete", "!Admitted"], "Complete"),
        ("Pending", ["Valid", "!Admitted"], "Admitted"),
    ],
)
def test_the_reason_is_that_of_the_condition_which_decides(where: Any, said: list[str], why: str) -> None:
    found = phase.explain(phase.Phase(where), conditions(*said))
    assert found is not None and found.type == why
