"""utk events: what the API server holds of a job's past, merged by time."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane


@pytest.fixture
def told(stage: "Stage", job_file: Path) -> str:
    """A job, and Events of it, of its pods, and of others."""
    stage.apply(yaml.safe_load(job_file.read_text()))
    failed = {"type": "Failed", "status": "True", "reason": "RestartBudgetSpent", "message": "8 of 8"}
    stage.status(
        "quickstart",
        phase="Failed",
        reason="RestartBudgetSpent",
        conditions=[{**failed, "lastTransitionTime": "2036-01-01T00:00:00Z"}],
        restarts={"counted": 1, "free": 0, "history": [{"attempt": 1, "cause": "OutOfMemory", "exitCode": 137}]},
        endedAt="2036-01-01T00:00:01Z",
    )
    job = stage.job("quickstart")
    assert job is not None
    stage.event("UltraThinkJob", "quickstart", "Queued", uid=job["metadata"]["uid"], type="Normal")
    stage.event("Pod", "quickstart-1-worker-0", "BackOff", message="Back-off pulling image \x1b[2J", count=3)
    stage.event("Pod", "quickstart-2-1-head-0", "OfAnotherJob")
    stage.event("Pod", "stranger", "OfNobody")
    return "quickstart"


def test_the_status_and_the_events_are_one_timeline(kubectl: "Utk", told: str) -> None:
    said = kubectl.here("events", told, "-o", "json")
    assert said.code == 0, said
    reasons = [item["reason"] for item in said.json["items"]]
    assert (reasons[0], reasons[-2:]) == ("Created", ["OutOfMemory", "Failed"]), reasons
    assert {"Queued", "BackOff", "RestartBudgetSpent"} <= set(reasons)
    assert not {"OfAnotherJob", "OfNobody"} & set(reasons)
    (pulled,) = (item for item in said.json["items"] if item["reason"] == "BackOff")
    assert pulled["object"] == "pod/quickstart-1-worker-0" and pulled["count"] == 3
    times = [item["time"] for item in said.json["items"] if item["time"]]
    assert times == sorted(times)


def test_a_person_reads_a_table_that_commands_no_terminal(kubectl: "Utk", told: str) -> None:
    said = kubectl.here("events", told)
    assert said.code == 0 and "\x1b" not in said.out
    assert said.out.splitlines()[0].split() == ["TIME", "TYPE", "OBJECT", "REASON", "MESSAGE"]
    (pulled,) = (line for line in said.out.splitlines() if "BackOff" in line)
    assert "Warning" in pulled and "(x3)" in pulled


def test_many_events_come_by_pages(kubectl: "Utk", stage: "Stage", told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultrathink.cluster.timeline.PAGE", 2)
    reasons = kubectl.here("events", told, "-o", "jsonpath={.items[*].reason}").out.split()
    assert {"Queued", "BackOff"} <= set(reasons)


def test_who_may_not_read_events_still_reads_the_job(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage", told: str
) -> None:
    stage.permit("viewer", {"apiGroups": ["ultrathink.io"], "resources": ["ultrathinkjobs"], "verbs": ["get", "list"]})
    config = installed.kubeconfig_of_user("viewer", namespace=stage.namespace)
    said = kubectl.here("events", told, "-o", "json", "--kubeconfig", str(config))
    assert (said.code, said.json["warnings"][0]["code"]) == (0, "UTK0505"), said
    assert "kubectl auth can-i list events" in said.json["warnings"][0]["fix"]
    assert said.json["items"][0]["reason"] == "Created"


@pytest.fixture
def running(stage: "Stage", job_file: Path) -> str:
    stage.apply(yaml.safe_load(job_file.read_text()))
    stage.status("quickstart", phase="Scheduling", reason="Unschedulable")
    return "quickstart"


@pytest.mark.parametrize("shape", ["text", "jsonl"])
def test_watching_tells_each_thing_once_and_ends_with_the_job(
    kubectl: "Utk", stage: "Stage", running: str, shape: str
) -> None:
    watching = kubectl.start("events", running, "-w", "-o", shape)
    watching.until(lambda r: "Created" in r.out)
    stage.event("Pod", "quickstart-1-head-0", "FailedScheduling", message="0/3 nodes")
    watching.until(lambda r: "FailedScheduling" in r.out)
    stage.event("Pod", "quickstart-1-head-0", "Scheduled", type="Normal")
    watching.until(lambda r: "Scheduled" in r.out.replace("FailedScheduling", ""))
    stage.status(running, phase="Succeeded", reason="Completed", endedAt="2036-01-01T00:00:01Z")
    said = watching.end()
    assert said.code == 0, said
    assert [said.out.count(word) for word in ("Created", "FailedScheduling", "0/3 nodes", "Succeeded")] == [1] * 4
    if shape == "jsonl":
        assert [json.loads(line)["reason"] for line in said.out.splitlines()][-1] == "Succeeded"


def test_ctrl_c_ends_the_watching_alone(kubectl: "Utk", stage: "Stage", running: str) -> None:
    watching = kubectl.start("events", running, "-w")
    watching.until(lambda r: "Created" in r.out)
    watching.interrupt()
    said = watching.end()
    assert said.code == 130 and "Traceback" not in said.err, said
    assert stage.job(running) is not None


def test_a_watch_has_no_shape_that_needs_an_end(kubectl: "Utk", running: str) -> None:
    assert kubectl.here("events", running, "-w", "-o", "json").code == 2
