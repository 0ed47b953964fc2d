"""utk list, status and delete: what the API server holds, in every shape, and what it does not permit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane

RUNNING: dict[str, Any] = {
    "phase": "Running",
    "reason": "Training",
    "plan": {
        "worldSize": 2,
        "steps": 200,
        "mesh": {"pipeline": 1, "data": 2, "tensor": 1},
        "parameters": {"total": 2, "active": 1},
        "digest": "abc",
    },
    "attempt": {"number": 2},
    "workers": {"ready": 2, "desired": 2, "selector": ""},
    "progress": {"step": 120, "of": 200, "percent": "60%", "loss": "3.25", "etaSeconds": 90, "tokensPerSecond": 5100.0},
    "checkpoint": {"step": 100, "uri": "s3://runs/a/quickstart/u/epoch-2/step-100", "verified": True},
    "goodput": {"ratio": "0.93", "seconds": {"productive": 93.0, "startup": 7.0}},
    "restarts": {"counted": 1, "free": 0, "history": [{"attempt": 1, "cause": "WorkerLost", "rank": 1}]},
    "conditions": [{"type": "Running", "status": "True", "reason": "Training"}],
}

COLUMNS = ["NAME", "PHASE", "REASON", "STEP", "PROGRESS", "ETA", "LOSS", "WORKERS", "RESTARTS", "AGE"]


def job(job_file: Path, name: str, **metadata: Any) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(job_file.read_text())
    return {**made, "metadata": {"name": name, **metadata}}


@pytest.fixture
def running(stage: "Stage", job_file: Path) -> str:
    stage.apply(job(job_file, "quickstart"))
    stage.status("quickstart", **RUNNING)
    return "quickstart"


def test_an_empty_namespace_is_an_empty_list(kubectl: "Utk") -> None:
    said = kubectl.here("list", "-o", "json")
    assert (said.code, said.json) == (
        0,
        {"apiVersion": "utk/v1", "kind": "JobList", "items": [], "warnings": []},
    )
    plain = kubectl.here("list")
    assert (plain.out, plain.code) == ("", 0)
    assert "No jobs in namespace" in plain.err


def test_a_job_is_a_line(kubectl: "Utk", running: str) -> None:
    said = kubectl.here("list")
    header, line = said.out.splitlines()
    assert header.split() == [
        "NAME",
        "PHASE",
        "REASON",
        "STEP",
        "PROGRESS",
        "ETA",
        "LOSS",
        "WORKERS",
        "RESTARTS",
        "AGE",
    ]
    assert line.split()[:9] == ["quickstart", "Running", "Training", "120/200", "60%", "1m30s", "3.25", "2/2", "1"]


def test_a_wide_line_has_more_and_nothing_that_is_not_known(kubectl: "Utk", running: str) -> None:
    header = kubectl.here("list", "-o", "wide").out.splitlines()[0]
    assert "TOKENS/S" in header and "GOODPUT" in header
    assert "CKPT-AGE" not in header and "MFU" not in header


def test_jobs_are_chosen_by_label_phase_and_namespace(
    kubectl: "Utk", stage: "Stage", running: str, job_file: Path
) -> None:
    stage.apply(job(job_file, "other", labels={"team": "a"}))
    stage.status("other", phase="Pending")
    assert kubectl.here("list", "-o", "name", "-l", "team=a").out.split() == ["ultrathinkjob.ultrathink.io/other"]
    assert kubectl.here("list", "-o", "name", "--phase", "running").out.split() == [
        "ultrathinkjob.ultrathink.io/quickstart"
    ]
    assert kubectl.here("list", "-o", "name", "-n", "default").out == ""
    everywhere = kubectl.here("list", "-A", "-o", "jsonpath={.items[*].metadata.namespace}")
    assert stage.namespace in everywhere.out.split()


def test_status_is_one_screen(kubectl: "Utk", running: str) -> None:
    said = kubectl.here("status", running)
    assert said.code == 0, said
    for words in (
        "quickstart",
        "Running",
        "attempt 2",
        "step 120 / 200",
        "ETA 1m30s",
        "loss 3.25",
        "2/2 ready",
        "step 100 · verified",
        "93.0%",
        "1 WorkerLost rank 1",
        "Running ✓",
    ):
        assert words in said.out, words
    assert "\x1b" not in said.out + said.err


def test_the_object_is_shown_as_it_is_stored(kubectl: "Utk", stage: "Stage", running: str) -> None:
    stored = stage.job(running)
    assert stored is not None and stored["metadata"].pop("managedFields")
    assert kubectl.here("get", running, "-o", "json").json == stored
    assert yaml.safe_load(kubectl.here("get", running).out) == stored
    assert kubectl.here("get", running, "-o", "jsonpath={.spec.workers.count}").out == "2\n"
    assert kubectl.here("get", "@latest", "-o", "name").out == f"ultrathinkjob.ultrathink.io/{running}\n"
    assert kubectl.here("get", "nothing", "-o", "json").code == 3


def test_what_get_shows_can_be_given_back(kubectl: "Utk", running: str) -> None:
    shown = kubectl("get", running)
    again = kubectl("diff", "-", "-o", "json", stdin=shown.out)
    assert (again.code, again.json["changes"]) == (0, []), again


def test_goodput_says_where_the_time_went(kubectl: "Utk", running: str) -> None:
    said = kubectl.here("goodput", running)
    head, columns, *lines = said.out.splitlines()
    assert said.code == 0 and head.endswith("goodput 93.0% of 1m40s"), said
    assert columns.split() == ["BUCKET", "TIME", "SHARE"]
    assert [line.split()[:3] for line in lines] == [["productive", "1m33s", "93.0%"], ["startup", "7s", "7.0%"]]
    assert "steps that were kept" in kubectl.here("goodput", running, "-o", "wide").out
    assert kubectl.here("goodput", running, "-o", "jsonpath={.goodput.buckets[0].name}").out == "productive\n"


def test_goodput_of_a_job_that_has_not_begun_is_nothing(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    stage.apply(job(job_file, "new"))
    said = kubectl.here("goodput", "new", "-o", "json")
    assert (said.code, said.json["kind"], said.json["goodput"]) == (0, "Goodput", None), said
    plain = kubectl.here("goodput", "new")
    assert (plain.code, plain.out) == (0, "") and "first attempt" in plain.err


def test_status_in_json_is_what_the_operator_wrote(kubectl: "Utk", running: str) -> None:
    value = kubectl.here("status", running, "-o", "json").json
    assert (value["apiVersion"], value["kind"]) == ("utk/v1", "Job")
    assert value["status"]["progress"].items() >= RUNNING["progress"].items()
    assert kubectl.here("status", running, "-o", "jsonpath={.status.phase}").out == "Running\n"


def test_watching_shows_each_change_and_ends_with_the_job(kubectl: "Utk", stage: "Stage", running: str) -> None:
    watching = kubectl.start("status", running, "-w")
    watching.until(lambda r: "step 120" in r.out)
    stage.status(running, progress={**RUNNING["progress"], "step": 160, "percent": "80%"})
    watching.until(lambda r: "step 160" in r.out)
    stage.status(running, phase="Succeeded", reason="Completed")
    assert watching.end().code == 0


def test_the_newest_job_has_a_short_name(kubectl: "Utk", running: str) -> None:
    assert kubectl.here("status", "@latest", "-o", "name").out.strip().endswith("/quickstart")


def test_a_name_that_is_nearly_right_is_suggested_and_never_taken_in_a_pipe(kubectl: "Utk", running: str) -> None:
    said = kubectl.here("status", "quickstar", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0507"), said
    assert "did you mean quickstart?" in said.json["errors"][0]["fix"]


def test_the_beginning_of_a_name_will_do_on_a_terminal(kubectl: "Utk", running: str) -> None:
    terminal = kubectl.on_terminal("status", "quick", "--color", "never")
    terminal.until("step 120")
    assert terminal.end() == 0


def test_nothing_from_the_cluster_commands_a_terminal(kubectl: "Utk", stage: "Stage", running: str) -> None:
    stage.status(running, message="\x1b]0;owned\x07\x1b[2J hello \x9b31m")
    said = kubectl.here("status", running)
    assert "hello" in said.out
    assert not set("\x1b\x07\x9b") & set(said.out + said.err)
    listed = kubectl.here("status", running, "-o", "json")
    assert "\x9b" not in listed.out and listed.json["status"]["message"].startswith("\x1b]0;")


def test_a_job_that_no_operator_has_noticed_is_explained_later(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    stage.apply(job(job_file, "lonely"))

    def explained() -> bool:
        return bool(kubectl.here("list", "-o", "json").json["warnings"])

    from integration.cli.parts.stage import eventually

    eventually(explained)
    listed, shown = kubectl.here("list"), kubectl.here("status", "lonely")
    assert "UTK0509" in listed.err and "Unwatched" in listed.out
    assert "UTK0509" in shown.err and "watchNamespaces" in shown.err


def test_deleting_needs_a_yes_and_asks_nobody_in_a_pipe(kubectl: "Utk", stage: "Stage", running: str) -> None:
    said = kubectl.here("delete", running, "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "UTK0605"), said
    assert stage.job(running) is not None


def test_a_dry_run_deletes_nothing(kubectl: "Utk", stage: "Stage", running: str) -> None:
    assert kubectl.here("delete", running, "--dry-run=server").code == 0
    assert kubectl.here("delete", running, "--dry-run=client").code == 0
    assert stage.job(running) is not None


def test_deleting_waits_until_the_operator_lets_go(kubectl: "Utk", stage: "Stage", running: str) -> None:
    stage.finalize(running, "ultrathink.io/graceful")
    deleting = kubectl.start("delete", running, "-y", "-o", "json")
    from integration.cli.parts.stage import eventually

    eventually(lambda: (stage.job(running) or {})["metadata"].get("deletionTimestamp"))
    assert "Deleting" in kubectl.here("list").out
    stage.finalize(running)
    said = deleting.end()
    assert (said.code, said.json["gone"], stage.job(running)) == (0, True, None), said


def test_on_a_terminal_the_consequences_are_said_before_the_question(
    kubectl: "Utk", stage: "Stage", running: str
) -> None:
    terminal = kubectl.on_terminal("delete", running)
    terminal.until("Delete it?")
    assert "checkpoints stay, the newest of step 100" in terminal.text
    terminal.type(b"n\n")
    assert terminal.end() != 0
    assert stage.job(running) is not None


def test_what_is_not_permitted_is_said_with_the_command_that_shows_it(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage", running: str
) -> None:
    config = installed.kubeconfig_of_user("mallory", namespace=stage.namespace)
    said = kubectl.here("list", "-o", "json", "--kubeconfig", str(config))
    error = said.json["errors"][0]
    assert (said.code, error["code"]) == (4, "UTK0505"), said
    assert f"kubectl auth can-i list ultrathinkjobs.ultrathink.io -n {stage.namespace}" in error["fix"]
    assert 'verbs: ["list"]' in error["fix"]


def test_a_namespace_that_is_not_there_is_named(kubectl: "Utk", job_file: Path) -> None:
    said = kubectl.here("submit", str(job_file), "-n", "nowhere", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0512"), said


def test_an_unknown_context_is_named(kubectl: "Utk") -> None:
    said = kubectl.here("list", "--context", "nowhere", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0502"), said


def test_a_cluster_without_our_crds_gets_the_line_that_installs_them(utk: "Utk") -> None:
    from testbed.apiserver import ControlPlane
    from testbed.needs import require

    plane = ControlPlane(False)
    require(plane.__enter__)
    try:
        said = utk.here("list", "-o", "json", "--kubeconfig", str(plane.kubeconfig))
    finally:
        plane.__exit__()
    error = said.json["errors"][0]
    assert (said.code, error["code"]) == (3, "UTK0506"), said
    assert "helm install" in error["fix"]
