"""utk stop, resume, restart and cancel: one field of the spec, changed as our own, and its effect waited for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage

NAME = "quickstart"


@pytest.fixture
def running(stage: "Stage", job_file: Path) -> dict[str, Any]:
    """A job in full swing, made by somebody else."""
    stage.apply(yaml.safe_load(job_file.read_text()))
    stage.status(NAME, phase="Running", reason="Training", attempt={"number": 1})
    job = stage.job(NAME)
    assert job is not None
    return job


def spec(stage: "Stage") -> dict[str, Any]:
    job = stage.job(NAME)
    assert job is not None
    return dict(job["spec"])


def test_stop_changes_one_field_as_our_own_and_waits_until_the_pods_are_given_back(
    kubectl: "Utk", stage: "Stage", running: dict[str, Any]
) -> None:
    stopping = kubectl.start("stop", NAME)
    stopping.until(lambda r: "to be suspended" in r.err)
    stage.status(NAME, phase="Suspending", reason="Suspending", message="saving a checkpoint")
    stopping.until(lambda r: "saving a checkpoint" in r.err)
    stage.status(NAME, phase="Suspended", reason="Suspended", message="")
    said = stopping.end()
    assert said.code == 0, said
    assert spec(stage) == {**running["spec"], "suspend": True}
    job = stage.job(NAME)
    assert job is not None
    ours = [entry["fieldsV1"] for entry in job["metadata"]["managedFields"] if entry["manager"] == "utk"]
    assert ours == [{"f:spec": {"f:suspend": {}}}]


def test_resume_returns_at_once_unless_it_is_to_wait(kubectl: "Utk", stage: "Stage", running: dict[str, Any]) -> None:
    assert kubectl.here("stop", NAME, "--no-wait").code == 0
    stage.status(NAME, phase="Suspended", reason="Suspended")
    said = kubectl.here("resume", NAME, "-o", "json")
    assert (said.code, said.json["field"], said.json["value"]) == (0, "spec.suspend", False)
    assert spec(stage)["suspend"] is False
    waiting = kubectl.start("resume", NAME, "--wait", "-o", "json")
    stage.status(NAME, phase="Running", reason="Training")
    assert waiting.end().json["status"]["phase"] == "Running"


def test_restart_names_a_moment_and_waits_for_another_attempt(
    kubectl: "Utk", stage: "Stage", running: dict[str, Any]
) -> None:
    restarting = kubectl.start("restart", NAME, "--wait")
    restarting.until(lambda r: "to be restarted" in r.err)
    stage.status(NAME, phase="Recovering", reason="SpecChanged", message="between two attempts")
    restarting.until(lambda r: "between two attempts" in r.err)
    stage.status(NAME, phase="Running", reason="Training", attempt={"number": 2})
    assert restarting.end().code == 0
    assert spec(stage)["restartedAt"].endswith("Z")


def test_cancel_asks_first_and_is_final(kubectl: "Utk", stage: "Stage", running: dict[str, Any]) -> None:
    said = kubectl.here("cancel", NAME, "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "UTK0605")
    cancelling = kubectl.start("cancel", NAME, "-y")
    cancelling.until(lambda r: "to be cancelled" in r.err)
    stage.status(NAME, phase="Failed", reason="Cancelled", message="cancelled by its owner")
    assert cancelling.end().code == 0
    for verb in ("stop", "resume", "restart"):
        said = kubectl.here(verb, NAME, "-o", "json")
        assert (said.code, said.json["errors"][0]["code"]) == (9, "UTK0514")


@pytest.mark.parametrize("how", ["client", "server"])
def test_a_dry_run_changes_nothing(kubectl: "Utk", stage: "Stage", running: dict[str, Any], how: str) -> None:
    for verb in ("stop", "resume", "restart", "cancel"):
        assert kubectl.here(verb, NAME, f"--dry-run={how}").code == 0
    assert spec(stage) == running["spec"]


def test_a_wait_ends_in_time(kubectl: "Utk", running: dict[str, Any]) -> None:
    said = kubectl.here("stop", NAME, "--timeout=1s", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (6, "UTK0609")


@pytest.mark.parametrize(("words", "phase"), [(("stop",), "Suspended"), (("cancel", "-y"), "Failed")])
def test_who_waits_for_an_operator_that_is_down_is_told_so_once(
    kubectl: "Utk", stage: "Stage", running: dict[str, Any], words: tuple[str, ...], phase: str
) -> None:
    waiting = kubectl.start(*words, NAME, "-o", "json")
    waiting.until(lambda r: "explain UTK0509" in r.err)
    assert "does not answer" in waiting.err and "kubectl get pods" in waiting.err
    stage.status(NAME, phase=phase, reason="Cancelled")
    said = waiting.end()
    assert said.json["status"]["phase"] == phase and said.err.count("warning[UTK0509]") == 1
