"""What `helm test` asks, asked of a real API server under the chart's own Roles."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

CHART = Path(__file__).resolve().parents[3] / "charts" / "ultrathink"


def healthy(path: str) -> str:
    return {"/readyz": "ok", "/metrics": "ultrathink_jobs 0"}[path]


class Installed:
    """The chart's Roles in a namespace of their own."""

    def __init__(self, plane: "ControlPlane", namespace: str, release: str) -> None:
        from testbed.binaries import binary

        self.plane, self.namespace, self.release = plane, namespace, release
        self._kubectl = [str(binary("kubectl")), f"--kubeconfig={plane.kubeconfig}", "-n", namespace]
        command = [str(binary("helm")), "template", release, str(CHART), "-n", namespace]
        made = subprocess.run([*command, "-s", "templates/rbac.yaml"], check=True, capture_output=True, text=True)
        self.roles = {o["metadata"]["name"]: o for o in yaml.safe_load_all(made.stdout) if o and o["kind"] == "Role"}
        self.apply(made.stdout)

    def apply(self, text: str) -> None:
        subprocess.run([*self._kubectl, "apply", "-f", "-"], input=text, check=True, capture_output=True, text=True)

    def wrong(self, get: Any = healthy, namespace: str = "") -> dict[str, str]:
        from ultrathink_operator.check import findings

        with self.plane.api_client() as api:
            found = findings(
                api,
                get,
                home=self.namespace,
                watched=(namespace or self.namespace,),
                account=f"{self.release}-operator",
            )
            return {finding.what: finding.wrong for finding in found if finding.wrong}


@pytest.fixture
def installed(control_plane: "ControlPlane", namespace: str) -> Installed:
    from testbed.binaries import binary
    from testbed.crds import install
    from testbed.needs import require
    from ultrathink_api.crd import crds

    require(lambda: binary("helm"))
    with control_plane.api_client() as api:
        install(api, crds())
    return Installed(control_plane, namespace, f"r-{uuid.uuid4().hex[:6]}")


def test_nothing_is_wrong_with_what_the_chart_installs(installed: Installed) -> None:
    assert installed.wrong() == {}


def test_a_right_that_was_taken_away_is_named(installed: Installed) -> None:
    role = installed.roles[f"{installed.release}-operator"]
    for rule in role["rules"]:
        if rule["resources"] == ["pods"]:
            rule["verbs"].remove("delete")
    installed.apply(json.dumps(role))
    ((what, wrong),) = installed.wrong().items()
    assert what == f"the operator has its rights in {installed.namespace}"
    assert "lacks: delete pods (" in wrong and f"{installed.release}-operator" in wrong


def test_a_watched_namespace_that_does_not_exist_is_named(installed: Installed) -> None:
    wrong = installed.wrong(namespace="nowhere")
    assert "the namespace are missing" in wrong["jobs can be created in nowhere"]


def test_an_operator_that_does_not_answer_or_is_not_ready_is_told_apart(installed: Installed) -> None:
    def dead(path: str) -> str:
        raise ConnectionRefusedError("connection refused")

    assert "connection refused" in installed.wrong(dead)["the operator answers /readyz"]
    wrong = installed.wrong(lambda path: "the Lease is somebody else's" if path == "/readyz" else "ultrathink_jobs 0")
    assert wrong == {
        "the operator answers /readyz": "it says: the Lease is somebody else's (see the log of the operator's pod)"
    }
