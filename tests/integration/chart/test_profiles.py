"""The chart's profiles: lint, each version of Kubernetes that the chart allows, and the Pod Security Standard."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "ultrathink"
DIGEST = "sha256:" + 64 * "a"
EVERYWHERE = ("images.registry=registry.example.com/ultrathink", "runtime.storage.uri=s3://runs")
PROFILES: dict[str, tuple[str, ...]] = {
    "default": (),
    "eks": (),
    "gke": (),
    "onprem": ("runtime.storage.endpoint=https://s3.example.com",),
    "strict": (
        f"images.operator.digest={DIGEST}",
        f"images.trainer.digest={DIGEST}",
        "admission.registries={registry.example.com/ultrathink}",
    ),
    "cluster": ("scope=cluster", "rbac.userRoles=true"),
}
"""Each with what its first lines say to set."""
FOREIGN = "ServiceMonitor,PodMonitor"
"""Kinds of the Prometheus operator's, of which Kubernetes has no description."""
Objects = list[dict[str, Any]]


def values(profile: str) -> list[str]:
    file = CHART / f"values-{profile}.yaml"
    given = ["--values", str(file)] if file.exists() else []
    return [*given, *(part for setting in (*EVERYWHERE, *PROFILES[profile]) for part in ("--set", setting))]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    """What Helm makes of each, with its test."""
    from testbed.binaries import binary
    from testbed.needs import require

    helm = require(lambda: binary("helm"))
    made: dict[str, str] = {}
    for profile in PROFILES:
        command = [helm, "template", "release", CHART, "--namespace", "home", *values(profile)]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{profile}: {done.stderr}"
        made[profile] = done.stdout
    return made


def test_every_profile_of_the_folder_is_tested() -> None:
    found = {file.stem.removeprefix("values-") for file in CHART.glob("values-*.yaml")}
    assert found == set(PROFILES) - {"default", "cluster"}


@pytest.mark.parametrize("profile", PROFILES)
def test_lint_has_no_complaint(profile: str) -> None:
    from testbed.binaries import binary

    command = [str(binary("helm")), "lint", "--strict", str(CHART), *values(profile)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def versions() -> list[str]:
    from testbed.schemas import VERSIONS

    return list(VERSIONS)


@pytest.mark.parametrize("version", versions())
def test_each_version_of_kubernetes_that_the_chart_allows_knows_every_field(
    rendered: dict[str, str], version: str, tmp_path: Path
) -> None:
    from testbed import schemas
    from testbed.binaries import binary
    from testbed.needs import require

    kinds = {thing["kind"] for text in rendered.values() for thing in yaml.safe_load_all(text) if thing}
    folder, kubeconform = require(lambda: schemas.folder(version, kinds)), require(lambda: binary("kubeconform"))
    files = []
    for profile, text in rendered.items():
        (tmp_path / f"{profile}.yaml").write_text(text)
        files.append(str(tmp_path / f"{profile}.yaml"))
    command = [str(kubeconform), "-summary", "-skip", FOREIGN, "-schema-location", f"{folder}/{schemas.LOCATION}"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Valid: \d\d+, Invalid: 0, Errors: 0, Skipped: 0", done.stdout), done.stdout
    (tmp_path / "wrong.yaml").write_text(rendered["default"].replace("replicas: 1", "replicaz: 1"))
    wrong = subprocess.run([*command, str(tmp_path / "wrong.yaml")], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0 and "replicaz" in wrong.stdout


def test_the_versions_are_those_that_the_chart_allows() -> None:
    allowed = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    assert allowed == f">={versions()[0].removeprefix('v').rpartition('.')[0]}.0-0"


def pods(objects: Objects, profile: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The operator's, the test's, and those that the operator makes of a job under this profile's runtime."""
    for thing in objects:
        if thing["kind"] == "Pod":
            yield thing["metadata"]["name"], thing["spec"]
        if thing["kind"] == "Deployment":
            yield thing["metadata"]["name"], thing["spec"]["template"]["spec"]
        if thing["kind"] == "ConfigMap" and "runtime.yaml" in thing["data"]:
            for made in sets(yaml.safe_load(thing["data"]["runtime.yaml"])):
                yield made["metadata"]["name"], made["spec"]["template"]["spec"]


def sets(runtime: dict[str, Any]) -> Objects:
    from ultrathink_api.job import UltraThinkJob
    from ultrathink_api.runtime import RuntimeSpec
    from ultrathink_operator.observe import House
    from ultrathink_operator.render import native
    from ultrathink_operator.render.order import Order
    from ultrathink_planner import plan

    job = UltraThinkJob.parse(yaml.safe_load((ROOT / "manifests" / "examples" / "quickstart.yaml").read_text()))
    lent = RuntimeSpec.model_validate(runtime)
    order = Order(
        job="q",
        uid="0b5f3c1e-9a51-4c1e-8f7e-0d9b6f6f2a11",
        namespace="home",
        generation=1,
        number=1,
        spec=job.spec,
        runtime=lent,
        plan=plan(job.spec),
        house=House("home", lent),
    )
    return [dict(one) for one in native.sets(order)]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_passes_the_standard_restricted(
    control_plane: "ControlPlane", namespace: str, rendered: dict[str, str], profile: str
) -> None:
    from testbed.binaries import binary

    kubectl = [str(binary("kubectl")), f"--kubeconfig={control_plane.kubeconfig}"]
    standard = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    subprocess.run([*kubectl, "label", "namespace", namespace, *standard], check=True, capture_output=True)
    found = dict(pods([thing for thing in yaml.safe_load_all(rendered[profile]) if thing], profile))
    assert len(found) == 4, "the operator's, the test's, a head's and a worker's"
    for name, spec in found.items():
        # Neither accounts nor priority classes are here, and no kubelet would ask for them.
        plain = {key: value for key, value in spec.items() if key not in ("serviceAccountName", "priorityClassName")}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": plain}
        create = [*kubectl, "create", "--dry-run=server", "-n", namespace, "-f", "-"]
        done = subprocess.run(create, input=json.dumps(pod), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert "would violate" not in done.stderr, done.stderr
    bad = {**plain, "hostNetwork": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": bad}
    done = subprocess.run(create, input=json.dumps(pod), capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "violates PodSecurity" in done.stderr, "the standard is enforced at all"
