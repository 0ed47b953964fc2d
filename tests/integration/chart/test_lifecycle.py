"""A release comes, changes, goes back and goes, while a job runs: nothing of the job is touched, nothing is wedged."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from integration.chart.conftest import Run, admin_of
from integration.operator.parts.place import QUICKSTART, eventually
from integration.operator.parts.process import OperatorProcess

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

CHART = Path(__file__).resolve().parents[3] / "charts" / "ultrathink"
CRDS = Path(__file__).resolve().parents[3] / "manifests" / "crds.yaml"
PODS = 3
"""Of the example's two workers: a head's, and one of each worker."""
OFF = ("admission.policy=false", "rbac.userRoles=false")


@pytest.fixture
def run(control_plane_with_controllers: "ControlPlane") -> Run:
    return admin_of(control_plane_with_controllers)


@pytest.fixture
def home(control_plane_with_controllers: "ControlPlane", run: Run) -> Iterator[str]:
    """A namespace of its own; CRDs belong to the whole server, so they are there already."""
    run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    run("kubectl", "wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
    name = control_plane_with_controllers.new_namespace(f"home-{uuid.uuid4().hex[:6]}")
    yield name
    run("helm", "uninstall", "ut", "--namespace", name, "--ignore-not-found")


def helm(run: Run, verb: str, home: str, *settings: str) -> None:
    chosen = [part for setting in ("crds.install=false", *OFF, *settings) for part in ("--set", setting)]
    run("helm", verb, "ut", str(CHART), "--namespace", home, *chosen)


def things(run: Run, home: str, kinds: str) -> dict[str, Any]:
    listed = json.loads(run("kubectl", "get", kinds, "-n", home, "-l", "ultrathink.io/job=q", "-o", "json"))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in listed["items"]}


def identities(run: Run, home: str) -> dict[str, tuple[str, Any]]:
    """Of everything that a job's training stands on."""
    found = things(run, home, "statefulsets,pods,services,configmaps,secrets,networkpolicies")
    return {name: (one["metadata"]["uid"], one["metadata"].get("generation")) for name, one in found.items()}


@pytest.fixture
def running(control_plane_with_controllers: "ControlPlane", run: Run, home: str, tmp_path: Path) -> Iterator[str]:
    """A job whose pods are there, made by an operator under the chart's own account."""
    helm(run, "install", home)
    kubeconfig = control_plane_with_controllers.kubeconfig_of_service_account(home, "ut-operator")
    job = {"apiVersion": "ultrathink.io/v1alpha1", "kind": "UltraThinkJob", "metadata": {"name": "q"}}
    run("kubectl", "create", "-n", home, "-f", "-", stdin=yaml.safe_dump({**job, "spec": QUICKSTART}))
    with OperatorProcess(tmp_path, home, kubeconfig, ULTRATHINK_WATCH_NAMESPACES=home) as operator:
        operator.wait_ready()
        eventually(
            lambda: len(things(run, home, "pods")) == PODS,
            says=lambda: (
                operator.said(),
                run("kubectl", "get", "utj", "q", "-n", home, "-o", "jsonpath={.status}"),
                list(things(run, home, "statefulsets,pods")),
                run("kubectl", "get", "events", "-n", home),
            ),
        )
        yield home
        # Whoever is asked to stop a job must still be there: the way that NOTES and the install guides name.
        run("kubectl", "delete", "utj", "--all", "-n", home, "--timeout=60s")


def cluster_wide(run: Run, home: str) -> list[str]:
    manifest = run("helm", "get", "manifest", "ut", "--namespace", home)
    return [d["kind"] for d in yaml.safe_load_all(manifest) if d and d["kind"].startswith("Cluster")]


def test_an_upgrade_and_its_rollback_leave_a_running_jobs_pods_alone(run: Run, running: str) -> None:
    before = identities(run, running)
    helm(run, "upgrade", running, "operator.logLevel=debug", "operator.apiRate=20", "runtime.pods.cpus=2")
    assert "debug" in run("kubectl", "get", "deployment", "ut-operator", "-n", running, "-o", "yaml")
    run("helm", "rollback", "ut", "1", "--namespace", running)
    assert "debug" not in run("kubectl", "get", "deployment", "ut-operator", "-n", running, "-o", "yaml")
    assert identities(run, running) == before
    assert not cluster_wide(run, running), "a release for its own namespace makes nothing cluster-wide"


def test_crds_upgraded_under_a_running_job_leave_it_alone(run: Run, running: str) -> None:
    before = identities(run, running)
    changed = [definition for definition in yaml.safe_load_all(CRDS.read_text()) if definition]
    for definition in changed:
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        schema["properties"]["ofTomorrow"] = {"type": "string", "description": "A field of the next version."}
    for text in (yaml.safe_dump_all(changed), CRDS.read_text()):
        run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
        patch = '{"spec": {"restart": {"budget": {"max": 5}}}}'
        run("kubectl", "patch", "utj", "q", "-n", running, "--type=merge", "-p", patch)
        assert identities(run, running) == before


def test_what_uninstall_takes_is_the_releases_own_and_training_goes_on(run: Run, running: str) -> None:
    before = identities(run, running)
    run("helm", "uninstall", "ut", "--namespace", running)
    assert identities(run, running) == before
    left = run("kubectl", "get", "deployments,roles,rolebindings,serviceaccounts", "-n", running, "-o", "name").split()
    assert [name for name in left if "/ut-" in name] == []
    assert "secret/ut-control" in run("kubectl", "get", "secrets", "-n", running, "-o", "name"), "the key stays"
    # Without an operator a job is let go by hand, as the guides say; nothing else holds it.
    run("kubectl", "patch", "utj", "q", "-n", running, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    run("kubectl", "delete", "utj", "q", "-n", running, "--timeout=60s")
    eventually(lambda: not things(run, running, "statefulsets,pods,services"), says=lambda: identities(run, running))


def test_a_release_for_all_namespaces_comes_and_goes_whole(run: Run, home: str) -> None:
    helm(run, "install", home, "scope=cluster", "rbac.userRoles=true")
    names = [f"{home}-ut-operator", f"{home}-ut-view", f"{home}-ut-edit", f"{home}-ut-admin"]
    there = run("kubectl", "get", "clusterroles", "-o", "name").split()
    assert {f"clusterrole.rbac.authorization.k8s.io/{name}" for name in names} <= set(there)
    run("helm", "uninstall", "ut", "--namespace", home)
    left = run("kubectl", "get", "clusterroles,clusterrolebindings", "-o", "name").split()
    assert not [name for name in left if f"/{home}-ut-" in name]
