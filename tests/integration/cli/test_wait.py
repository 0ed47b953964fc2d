"""utk wait: ends when a job has come so far, with the exit code that a script needs."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage


@pytest.fixture
def waiting(stage: "Stage", job_file: Path) -> str:
    stage.apply(yaml.safe_load(job_file.read_text()))
    stage.status("quickstart", phase="Scheduling", reason="Unschedulable")
    return "quickstart"


def test_each_goal_ends_the_waiting_when_it_is_reached(kubectl: "Utk", stage: "Stage", waiting: str) -> None:
    goals = {"Running": "", "step=100": "", "checkpoint": "", "Succeeded": ""}
    running = {said: kubectl.start("wait", waiting, "--for", said, "-o", "json") for said in goals}
    for command in running.values():
        command.until(lambda r: "Unschedulable" in r.err)
    progress = {"step": 10, "of": 200, "percent": "5%"}
    stage.status(waiting, phase="Running", reason="Training", progress=progress)
    said = running["Running"].end()
    assert (said.code, said.json["reached"]) == (0, True), said
    stage.status(waiting, progress={**progress, "step": 100})
    assert running["step=100"].end().json["status"]["progress"]["step"] == 100
    stage.status(waiting, checkpoint={"step": 100, "uri": "s3://runs/a/quickstart/u/epoch-1/step-100"})
    assert running["checkpoint"].end().code == 0
    stage.status(waiting, phase="Succeeded", reason="Completed")
    said = running["Succeeded"].end()
    assert (said.code, said.json["goal"], said.json["reached"]) == (0, "Succeeded", True), said


def test_each_reason_is_told_once_and_beside_the_output(kubectl: "Utk", stage: "Stage", waiting: str) -> None:
    running = kubectl.start("wait", waiting)
    running.until(lambda r: "Unschedulable" in r.err)
    stage.annotate(waiting, unrelated="change")
    stage.status(waiting, phase="Running", reason="Training")
    running.until(lambda r: "Training" in r.err)
    stage.status(waiting, phase="Succeeded", reason="Completed")
    said = running.end()
    assert said.code == 0, said
    assert [said.err.count(reason) for reason in ("Unschedulable", "Training", "Completed")] == [1, 1, 1], said
    assert said.out == "Succeeded · Completed\n"


def test_a_job_that_fails_ends_with_5(kubectl: "Utk", stage: "Stage", waiting: str) -> None:
    running = kubectl.start("wait", waiting, "-o", "json")
    stage.status(waiting, phase="Failed", reason="RestartBudgetSpent")
    said = running.end()
    assert (said.code, said.json["reached"], said.json["status"]["phase"]) == (5, False, "Failed"), said


def test_the_time_out_ends_with_6_and_a_mere_look_with_8(kubectl: "Utk", waiting: str) -> None:
    said = kubectl.here("wait", waiting, "--timeout", "1s", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (6, "UTK0609"), said
    looked = kubectl.here("wait", waiting, "--timeout", "0", "-o", "json")
    assert (looked.code, looked.json["reached"]) == (8, False), looked


def test_what_can_no_longer_come_is_not_waited_for(kubectl: "Utk", stage: "Stage", waiting: str) -> None:
    stage.status(waiting, phase="Succeeded", progress={"step": 200, "of": 200, "percent": "100%"})
    said = kubectl.here("wait", waiting, "--for", "step=201", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (1, "UTK0611"), said


def test_a_job_that_goes_away_ends_the_waiting(kubectl: "Utk", stage: "Stage", waiting: str, job_file: Path) -> None:
    running = kubectl.start("wait", waiting, "-o", "json")
    running.until(lambda r: "Unschedulable" in r.err)
    assert kubectl.here("delete", waiting, "-y").code == 0
    stage.apply(yaml.safe_load(job_file.read_text()))
    said = running.end()
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0507"), said


def test_ctrl_c_leaves_the_job_alone(kubectl: "Utk", stage: "Stage", waiting: str) -> None:
    running = kubectl.start("wait", waiting)
    running.until(lambda r: "Unschedulable" in r.err)
    running.interrupt()
    said = running.end()
    assert said.code == 130, said
    assert "utk status quickstart" in said.err and "Traceback" not in said.err
    assert stage.job(waiting) is not None
