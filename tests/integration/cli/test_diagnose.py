"""utk diagnose against a real API server: what it reads, what it may not read, and what it hands on."""

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.kubelet import Kubelet
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane

SINCE = "2036-01-01T00:00:00Z"
REFUSAL = '{"event": "warning", "code": "UTK0315", "message": "another supervisor took over"}'


@pytest.fixture
def restless(stage: "Stage", kubelet: "Kubelet", job_file: Path) -> str:
    """A job that trains, though a rank was lost, and whose log says a secret."""
    stage.apply(yaml.safe_load(job_file.read_text()))
    stage.status(
        "quickstart",
        phase="Recovering",
        reason="RankLost",
        message="rank 1 was killed",
        conditions=[
            {"type": "Valid", "status": "True", "reason": "Valid", "lastTransitionTime": "2036-01-01T00:00:00Z"}
        ],
        restarts={"counted": 1, "free": 0, "history": [{"attempt": 1, "cause": "RankLost", "rank": 1, "exitCode": -9}]},
    )
    kubelet.say(stage.head("quickstart", kubelet.node), "password=hunter22", REFUSAL)
    return "quickstart"


def test_it_says_where_the_job_stands_and_why(kubectl: "Utk", restless: str) -> None:
    said = kubectl.here("diagnose", restless, "-o", "json")
    checks = {check["name"]: check for check in said.json["checks"]}
    assert (said.code, said.json["kind"], said.json["verdict"]["name"]) == (0, "Diagnosis", "training"), said
    assert checks["operator"]["state"] == checks["spec"]["state"] == checks["pods"]["state"] == "ok"
    assert "RankLost, rank 1" in checks["attempts"]["message"]
    assert "UTK0315 another supervisor took over" in checks["log"]["message"]


def test_a_pending_job_has_the_schedulers_words_as_its_verdict(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    stage.apply(yaml.safe_load(job_file.read_text()))
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    scheduled = {"type": "Scheduled", "status": "False", "reason": "Unschedulable", "message": words}
    stage.status("quickstart", phase="Scheduling", conditions=[{**scheduled, "lastTransitionTime": SINCE}])
    said = kubectl.here("diagnose", "quickstart")
    assert said.code == 1
    verdict, fix = said.out.splitlines()[-2:]
    assert verdict.endswith(f"Unschedulable — {words}") and "kubectl get nodes" in fix


def test_who_may_read_the_job_alone_gets_what_it_says_and_the_rights_to_ask_for(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage", restless: str
) -> None:
    stage.permit("viewer", {"apiGroups": ["ultrathink.io"], "resources": ["ultrathinkjobs"], "verbs": ["get", "list"]})
    config = installed.kubeconfig_of_user("viewer", namespace=stage.namespace)
    said = kubectl.here("diagnose", restless, "-o", "json", "--kubeconfig", str(config))
    missing = [check for check in said.json["checks"] if check["name"] == "rights"]
    assert said.code == 0 and {check["code"] for check in missing} == {"UTK0505"}, said
    assert ["pods" in check["message"] for check in missing] == [True, False]
    assert said.json["verdict"]["name"] == "training"


@pytest.mark.fault("N42")
def test_a_bundle_can_be_handed_on(kubectl: "Utk", restless: str, tmp_path: Path) -> None:
    target = tmp_path / "case.tgz"
    said = kubectl.here("diagnose", restless, "--bundle", str(target))
    assert said.code == 0 and "case.tgz" in said.err
    with tarfile.open(target) as archive:
        files = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    assert not [name for name, text in files.items() if "hunter22" in text]
    assert any("UTK0315" in text for name, text in files.items() if name.endswith(".log"))
    again = kubectl.here("diagnose", restless, "--bundle", str(target))
    assert again.code == 9 and "UTK0607" in again.err


def test_a_job_that_is_not_there_is_not_found(kubectl: "Utk", stage: "Stage") -> None:
    assert kubectl.here("diagnose", "nobody").code == 3
