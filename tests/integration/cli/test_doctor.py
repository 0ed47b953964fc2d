"""utk doctor: what it finds on a cluster that is well, and on those that are not."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from integration.cli.parts.command import Said, Utk
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane

UNREACHABLE = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


def checks(said: "Said") -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in said.json["checks"]}


def operator(installed: "ControlPlane", stage: "Stage", *watched: str, **how: Any) -> None:
    from integration.cli.parts.operator import install

    with installed.api_client() as api:
        install(api, stage.namespace, *watched, **how)


def test_a_cluster_that_is_well_is_ok_in_every_line(installed: "ControlPlane", kubectl: "Utk", stage: "Stage") -> None:
    operator(installed, stage, stage.namespace, "another")
    said = kubectl.here("doctor", "-o", "json")
    assert (said.code, said.json["kind"], said.json["ok"]) == (0, "Doctor", True), said
    assert {check["state"] for check in said.json["checks"]} == {"ok"}, said
    assert list(checks(said)) == [
        *("utk", "local", "server", "identity", "crds", "operator", "lease"),
        *("read jobs", "change jobs", "find pods", "read logs", "read events"),
    ]
    lines = kubectl.here("doctor").out.splitlines()
    assert len(lines) == 12 and all(line.startswith("ok  ") for line in lines)


@pytest.mark.parametrize(
    ("how", "check", "words"),
    [
        ({"available": 0}, "operator", "it does not run"),
        ({"silent": 600.0}, "lease", "has not renewed"),
    ],
)
def test_an_operator_that_does_not_work_fails(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage", how: dict[str, Any], check: str, words: str
) -> None:
    operator(installed, stage, stage.namespace, **how)
    said = kubectl.here("doctor", "-o", "json")
    found = checks(said)[check]
    assert (said.code, said.json["ok"], found["state"]) == (1, False, "fail"), said
    assert words in found["message"] and f"-n {stage.namespace}" in found["fix"]
    plain = kubectl.here("doctor")
    assert plain.code == 1 and "fail" in plain.out and "fix: kubectl" in plain.out


def test_a_namespace_that_nobody_watches_fails_with_the_line_that_adds_it(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage"
) -> None:
    operator(installed, stage, "another")
    found = checks(kubectl.here("doctor", "-o", "json"))["operator"]
    assert (found["state"], found["code"]) == ("fail", "UTK0509")
    assert f"watchNamespaces={{{stage.namespace}}}" in found["fix"] and stage.namespace in found["message"]


def test_rights_that_are_lacking_are_named_with_the_role_to_ask_for(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage"
) -> None:
    rule = {"apiGroups": ["ultrathink.io"], "resources": ["ultrathinkjobs"], "verbs": ["get", "list"]}
    stage.permit("reader", rule, {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]})
    config = str(installed.kubeconfig_of_user("reader", namespace=stage.namespace))
    said = kubectl.here("doctor", "-o", "json", "--kubeconfig", config)
    found = checks(said)
    assert said.code == 0, said
    assert found["identity"]["message"] == "signed in as reader"
    states = {name: found[name]["state"] for name in ("read jobs", "change jobs", "find pods", "read logs", "operator")}
    assert states == {
        "read jobs": "ok",
        "change jobs": "warn",
        "find pods": "warn",
        "read logs": "ok",
        "operator": "warn",
    }
    assert 'verbs: ["create", "patch", "delete"]' in found["change jobs"]["fix"]
    assert 'apiGroups: ["apps"], resources: ["deployments"]' in found["operator"]["fix"]


def test_who_may_not_read_jobs_cannot_work_here(installed: "ControlPlane", kubectl: "Utk", stage: "Stage") -> None:
    config = str(installed.kubeconfig_of_user("mallory", namespace=stage.namespace))
    said = kubectl.here("doctor", "-o", "json", "--kubeconfig", config)
    assert (said.code, checks(said)["read jobs"]["state"]) == (1, "fail"), said


def test_without_our_crds_or_with_older_ones_it_says_what_to_do(utk: "Utk") -> None:
    from integration.cli.parts.stage import eventually
    from testbed.apiserver import ControlPlane
    from testbed.crds import install
    from testbed.needs import require
    from ultrathink_api.crd import crds

    plane = ControlPlane(False)
    require(plane.__enter__)
    try:
        look = ("doctor", "-o", "json", "--kubeconfig", str(plane.kubeconfig))
        bare = utk.here(*look)
        assert (bare.code, checks(bare)["crds"]["code"]) == (1, "UTK0506"), bare
        assert "helm install" in checks(bare)["crds"]["fix"] and "helm install" in checks(bare)["operator"]["fix"]
        older = copy.deepcopy(crds())
        properties = older[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        del properties["health"]
        with plane.api_client() as api:
            install(api, older)
        found = eventually(lambda: _warned(checks(utk.here(*look))["crds"]))
        assert "spec.health" in found["message"] and "helm upgrade" in found["fix"]
    finally:
        plane.__exit__()


def _warned(check: dict[str, Any]) -> dict[str, Any] | None:
    """The schema is published some moments after the CRD is served."""
    return check if check["state"] == "warn" and "older" in check["message"] else None


def test_without_kubeconfig_or_cluster_the_rest_is_not_asked(utk: "Utk", tmp_path: Path) -> None:
    said = utk.here("doctor", "-o", "json")
    assert (said.code, checks(said)["kubeconfig"]["code"]) == (1, "UTK0501"), said
    config = tmp_path / "config"
    config.write_text(UNREACHABLE)
    away = utk.here("doctor", "-o", "json", "--kubeconfig", str(config))
    assert (away.code, checks(away)["server"]["code"]) == (1, "UTK0503"), away
    assert "crds" not in checks(away)
