"""Helm against a real API server: what it installs is accepted as it is, and what must not change does not."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.chart.conftest import Run, admin_of

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "ultrathink"


@pytest.fixture
def run(control_plane: "ControlPlane") -> Run:
    return admin_of(control_plane)


@pytest.fixture
def release(namespace: str, run: Run) -> Iterator[str]:
    """A name for one, that is uninstalled at the end."""
    name = f"r-{uuid.uuid4().hex[:6]}"
    yield name
    run("helm", "uninstall", name, "--namespace", namespace, "--ignore-not-found")


def install(run: Run, release: str, namespace: str, *settings: str) -> None:
    # CRDs belong to the whole server, which other tests use as well.
    chosen = [part for setting in ("crds.install=false", *settings) for part in ("--set", setting)]
    run("helm", "upgrade", "--install", release, str(CHART), "--namespace", namespace, *chosen)


def get(run: Run, kind: str, name: str, namespace: str) -> dict[str, Any]:
    return dict(json.loads(run("kubectl", "get", kind, name, "--namespace", namespace, "-o", "json")))


def test_the_operators_pod_passes_the_standard_restricted(run: Run, release: str, namespace: str) -> None:
    run("kubectl", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    install(run, release, namespace)
    template = get(run, "deployment", f"{release}-operator", namespace)["spec"]["template"]
    template["spec"]["serviceAccountName"] = "default"  # no controller is here to give ours its token
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": template["spec"]}
    assert "pod/probe" in run(
        "kubectl", "create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=json.dumps(pod)
    )


def test_an_upgrade_leaves_the_key_alone(run: Run, release: str, namespace: str) -> None:
    install(run, release, namespace)
    before = get(run, "secret", f"{release}-control", namespace)["data"]
    install(run, release, namespace, "operator.logLevel=debug")
    assert get(run, "secret", f"{release}-control", namespace)["data"] == before


def test_the_key_outlives_the_release_and_serves_the_next_one(run: Run, release: str, namespace: str) -> None:
    install(run, release, namespace)
    before = get(run, "secret", f"{release}-control", namespace)["data"]
    run("helm", "uninstall", release, "--namespace", namespace)
    install(run, release, namespace)
    assert get(run, "secret", f"{release}-control", namespace)["data"] == before


@pytest.mark.fault("N21", "N22")
def test_the_account_may_do_what_the_chart_says_and_not_read_a_secret(
    control_plane: "ControlPlane", run: Run, release: str, namespace: str
) -> None:
    install(run, release, namespace)
    account = f"system:serviceaccount:{namespace}:{release}-operator"

    def may(verb: str, resource: str, where: str = namespace) -> bool:
        from testbed.binaries import binary

        asked = [str(binary("kubectl")), f"--kubeconfig={control_plane.kubeconfig}", "auth", "can-i", verb, resource]
        done = subprocess.run([*asked, "-n", where, f"--as={account}"], capture_output=True, text=True, check=False)
        return done.stdout.strip() == "yes"

    assert may("create", "statefulsets.apps")
    assert may("delete", "pods")
    assert may("create", "secrets")
    for verb, resource in (("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec")):
        assert not may(verb, resource), f"{verb} {resource}"
    assert not may("create", "statefulsets.apps", "default")
    assert not may("create", "rolebindings.rbac.authorization.k8s.io")


def test_install_yaml_is_accepted_as_it_is(run: Run) -> None:
    text = (ROOT / "manifests" / "install.yaml").read_text()
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    run("kubectl", "create", "namespace", namespace)
    text = text.replace("namespace: ultrathink\n", f"namespace: {namespace}\n")
    said = run("kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text)
    assert "deployment.apps/ultrathink-operator" in said
    assert said.count("customresourcedefinition") == 2
