"""utk submit: created once, changed when it differs, explained when nothing happens."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage

UNREACHABLE = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


def test_a_job_in_a_namespace_without_operator_is_stored_and_explained(kubectl: "Utk", job_file: Path) -> None:
    said = kubectl.here("submit", str(job_file))
    assert said.code == 0, said
    assert "UTK0509" in said.err and "watchNamespaces" in said.err and "helm upgrade" in said.err
    assert "created" in said.err


def test_the_same_file_twice_is_one_job(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    first = kubectl.here("submit", str(job_file), "-o", "json", "--dry-run=server")
    assert (first.code, first.json["action"], stage.job("quickstart")) == (0, "created", None)
    running = kubectl.start("submit", str(job_file), "-o", "json")
    stage.status("quickstart", phase="Pending")
    assert running.end().json["action"] == "created"
    again = kubectl.here("submit", str(job_file), "-o", "json")
    assert (again.code, again.json["action"], again.json["metadata"]["generation"]) == (0, "unchanged", 1), again


def test_a_job_says_who_made_it_whoever_submits_it_again(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    def named() -> str | None:
        job = stage.job("quickstart")
        assert job is not None
        said: str | None = (job["metadata"].get("annotations") or {}).get("ultrathink.io/submitted-by")
        return said

    running = kubectl.start("submit", str(job_file))
    stage.status("quickstart", phase="Pending")
    assert running.end().code == 0
    assert named()
    stage.annotate("quickstart", **{"ultrathink.io/submitted-by": "somebody before us"})
    said = kubectl.here("submit", str(job_file), "--set", "restart.budget.max=3", "-o", "json")
    assert (said.code, said.json["action"], named()) == (0, "configured", "somebody before us"), said
    assert kubectl.here("diff", str(job_file), "--set", "restart.budget.max=3", "-o", "json").json["changes"] == []


def test_a_changed_file_changes_the_job_and_names_us_as_its_manager(
    kubectl: "Utk", stage: "Stage", job_file: Path
) -> None:
    running = kubectl.start("submit", str(job_file))
    stage.status("quickstart", phase="Pending")
    assert running.end().code == 0
    said = kubectl.here("submit", str(job_file), "--set", "restart.budget.max=3", "-o", "json")
    assert (said.code, said.json["action"]) == (0, "configured"), said
    job = stage.job("quickstart")
    assert job is not None
    assert job["spec"]["restart"]["budget"]["max"] == 3
    assert "utk" in {entry["manager"] for entry in job["metadata"]["managedFields"]}


def test_fields_of_somebody_else_are_a_conflict(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    import yaml

    job = yaml.safe_load(job_file.read_text())
    stage.apply(job)
    said = kubectl.here(
        "submit", str(job_file), "--set", "restart.budget.max=3", "--set", "workers.count=4", "-o", "json"
    )
    assert said.code == 9, said
    assert said.json["errors"][0]["code"] == "UTK0508"
    assert "workers.count" in said.json["errors"][0]["field"]


def test_waiting_says_each_reason_once_and_ends_with_the_job(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    running = kubectl.start("submit", str(job_file), "--wait")
    stage.status("quickstart", phase="Scheduling", reason="Unschedulable", message="0/3 nodes: Insufficient cpu")
    running.until(lambda r: "Insufficient cpu" in r.err)
    stage.annotate("quickstart", unrelated="change")
    stage.status("quickstart", phase="Running", reason="Training", message="")
    running.until(lambda r: "Running" in r.err)
    stage.status("quickstart", phase="Succeeded", reason="Completed")
    said = running.end()
    assert said.code == 0, said
    assert said.err.count("Insufficient cpu") == 1


def test_waiting_for_a_job_that_fails_ends_with_5(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    running = kubectl.start("submit", str(job_file), "--wait", "-o", "json")
    stage.status("quickstart", phase="Failed", reason="NaN", message="loss is not a number")
    said = running.end()
    assert (said.code, said.json["status"]["reason"]) == (5, "NaN"), said


def test_waiting_no_longer_than_asked_ends_with_6(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    running = kubectl.start("submit", str(job_file), "--wait", "--timeout", "1s", "-o", "json")
    stage.status("quickstart", phase="Running")
    said = running.end()
    assert (said.code, said.json["errors"][0]["code"]) == (6, "UTK0609"), said


def test_ctrl_c_detaches_and_says_how_to_come_back(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    running = kubectl.start("submit", str(job_file), "--wait")
    stage.status("quickstart", phase="Running")
    running.until(lambda r: "Running" in r.err)
    running.interrupt()
    said = running.end()
    assert said.code == 130, said
    assert "utk logs -f quickstart" in said.err
    assert stage.job("quickstart") is not None


def test_an_immutable_field_of_a_started_job_is_refused_with_its_code(
    kubectl: "Utk", stage: "Stage", job_file: Path
) -> None:
    running = kubectl.start("submit", str(job_file))
    stage.status("quickstart", phase="Running", startedAt="2026-01-01T00:00:00Z")
    assert running.end().code == 0
    said = kubectl.here("submit", str(job_file), "--set", "training.seed=7", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (7, "UTK0125"), said


def test_a_wrong_file_never_reaches_the_cluster(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    said = kubectl.here("submit", str(job_file), "--set", "workers.cuont=3", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (7, "UTK0102"), said
    assert stage.job("quickstart") is None


def test_no_kubeconfig_names_three_ways_to_go_on(utk: "Utk", job_file: Path) -> None:
    said = utk.here("submit", str(job_file), "-o", "json")
    error = said.json["errors"][0]
    assert (said.code, error["code"]) == (4, "UTK0501"), said
    assert "--kubeconfig" in error["fix"] and "utk run --local" in error["fix"] and "kind create" in error["fix"]


def test_a_cluster_that_does_not_answer_is_said_at_once(utk: "Utk", job_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(UNREACHABLE)
    said = utk.here("submit", str(job_file), "-o", "json", "--kubeconfig", str(config))
    assert (said.code, said.json["errors"][0]["code"]) == (1, "UTK0503"), said


def test_a_client_dry_run_needs_no_cluster(utk: "Utk", job_file: Path) -> None:
    said = utk.here("submit", str(job_file), "--dry-run=client", "-o", "json", "--name", "other")
    assert (said.code, said.json["metadata"]["name"], said.json["dryRun"]) == (0, "other", "client"), said
