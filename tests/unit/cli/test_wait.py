"""utk wait: what can be waited for, and how a job stands to it."""

from collections.abc import Callable
from typing import Any

import pytest

from ultrathink.cluster.waiting import Verdict, goal
from ultrathink_api.errors import Refused

Utk = Callable[..., Any]


def job(phase: str, step: int = 0, **status: Any) -> dict[str, Any]:
    progress = {"progress": {"step": step, "of": 200}} if step else {}
    return {"metadata": {"name": "a"}, "status": {"phase": phase, **progress, **status}}


@pytest.mark.parametrize(
    ("text", "raw", "verdict"),
    [
        ("Running", {"metadata": {"name": "a"}}, Verdict.NOT_YET),
        ("Running", job("Starting"), Verdict.NOT_YET),
        ("running", job("Running"), Verdict.REACHED),
        ("Running", job("Succeeded"), Verdict.REACHED),
        ("Running", job("Failed"), Verdict.FAILED),
        ("Succeeded", job("Running", 199), Verdict.NOT_YET),
        ("Succeeded", job("Succeeded"), Verdict.REACHED),
        ("Succeeded", job("Failed"), Verdict.FAILED),
        ("step=100", job("Running", 99), Verdict.NOT_YET),
        ("step=100", job("Running", 100), Verdict.REACHED),
        ("step=100", job("Failed", 120), Verdict.REACHED),
        ("step=100", job("Failed", 80), Verdict.FAILED),
        ("checkpoint", job("Running", 30), Verdict.NOT_YET),
        ("checkpoint", job("Recovering", checkpoint={"step": 20}), Verdict.REACHED),
    ],
)
def test_a_job_stands_to_a_goal(text: str, raw: dict[str, Any], verdict: Verdict) -> None:
    assert goal(text).verdict(raw) is verdict


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("step=201", job("Running", 10, plan={"steps": 200})),
        ("step=201", job("Succeeded", 200)),
        ("checkpoint", job("Succeeded")),
    ],
)
def test_what_will_never_come_is_not_waited_for(text: str, raw: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        goal(text).verdict(raw)
    assert refused.value.problem.code == "UTK0611"


@pytest.mark.parametrize("text", ["Sleeping", "step", "step=", "step=0", "step=-1", "step=ten", "phase=Running", ""])
def test_other_goals_are_refused_before_anybody_is_asked(utk: Utk, text: str) -> None:
    said = utk("wait", "quickstart", f"--for={text}", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "UTK0604")
    assert "step=N" in said.json["errors"][0]["fix"]
