"""The operator's rights, proven minimal: lives that need each of them, under the chart's own Roles and an audit log."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes import client

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually, new_namespace
from integration.operator.parts.process import OperatorProcess
from testbed import audit

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

CHART = Path(__file__).resolve().parents[3] / "charts" / "ultrathink"
RELEASE = "audited"
LOST_S = 120.0
"""A pod counts as lost 30 s after its node fell silent."""
Heads = Callable[..., Head]


class Audited:
    """A namespace whose operator holds what the chart grants it, and nothing else."""

    def __init__(self, place: Place, log: Path, roles: list[dict[str, Any]], user: str) -> None:
        self.place, self.log, self.user = place, log, user
        self.grants = audit.grants(roles)

    def asked(self) -> audit.Asked:
        # The last line may still be on its way.
        lines = self.log.read_text().splitlines(keepends=True)
        return audit.asked((line for line in lines if line.endswith("\n")), self.user)

    def unused(self) -> list[audit.Right]:
        return sorted(self.grants - self.asked().granted)


@pytest.fixture
def audited(plane: "ControlPlane", tmp_path: Path) -> Iterator[Audited]:
    from testbed.binaries import binary
    from testbed.needs import require

    own, watched = new_namespace(plane), new_namespace(plane)
    helm = require(lambda: binary("helm"))
    shown = ["--show-only", "templates/rbac.yaml", "--show-only", "templates/serviceaccount.yaml"]
    settings = ["--namespace", own, "--set", f"watchNamespaces={{{watched}}}"]
    done = subprocess.run([helm, "template", RELEASE, CHART, *settings, *shown], capture_output=True, check=True)
    objects = [thing for thing in yaml.safe_load_all(done.stdout) if thing]
    with plane.api_client() as admin:
        core, access = client.CoreV1Api(admin), client.RbacAuthorizationV1Api(admin)
        create: dict[str, Callable[..., Any]] = {
            "ServiceAccount": core.create_namespaced_service_account,
            "Role": access.create_namespaced_role,
            "RoleBinding": access.create_namespaced_role_binding,
        }
        for thing in objects:
            create[thing["kind"]](thing["metadata"]["namespace"], thing)
    account = f"{RELEASE}-operator"
    kubeconfig = plane.kubeconfig_of_service_account(own, account)
    roles = [thing for thing in objects if thing["kind"] == "Role"]
    user = f"system:serviceaccount:{own}:{account}"
    with OperatorProcess(tmp_path, own, kubeconfig, ULTRATHINK_WATCH_NAMESPACES=watched) as operator:
        operator.wait_ready()
        yield Audited(Place(plane, watched), plane.audit_log, roles, user)


@pytest.mark.fault("N26")
def test_every_right_of_the_chart_is_used_and_no_other_is_asked_for(
    audited: Audited, head_of: Heads, capsys: pytest.CaptureFixture[str]
) -> None:
    place = audited.place
    lose_a_pod(place, head_of)
    stand_in_the_way(place)
    live_a_whole_life(place, head_of)
    repair_a_set(place)
    ask_for_events(place)
    write_beside_it(place)
    eventually(lambda: not audited.unused(), LOST_S, says=audited.unused)
    lines, good = audit.report(audited.grants, audited.asked())
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert good, lines


def lose_a_pod(place: Place, head_of: Heads) -> None:
    """Its node has fallen silent: containers as last heard of, the pod not ready, and nobody who would end it."""
    place.submit("lost")
    head_of(place, "lost")
    place.core.patch_namespaced_pod("lost-1-worker-0", place.namespace, {"metadata": {"finalizers": ["a.b/held"]}})
    place.core.delete_namespaced_pod("lost-1-worker-0", place.namespace)
    conditions = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]
    place.patch_pod("lost-1-worker-0", {"conditions": conditions})


def stand_in_the_way(place: Place) -> None:
    """Somebody else's objects under the names that a cluster's would have."""
    service = {"metadata": {"name": "blocked-1"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}
    place.core.create_namespaced_service(place.namespace, service)
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": pod}
    place.apps.create_namespaced_stateful_set(place.namespace, {"metadata": {"name": "taken-1-head"}, "spec": spec})
    for job in ("blocked", "taken"):
        place.submit(job)
    for job in ("blocked", "taken"):
        wait_for_reason(place, job, "NameConflict")


def wait_for_reason(place: Place, job: str, reason: str) -> None:
    eventually(lambda: place.status(job).get("reason") == reason, says=lambda: place.status(job))


def live_a_whole_life(place: Place, head_of: Heads) -> None:
    place.submit("whole")
    head = head_of(place, "whole")
    head.train(200)
    head.commit(200)
    head.end()
    eventually(lambda: place.status("whole").get("phase") == "Succeeded", says=lambda: place.status("whole"))
    eventually(lambda: not [name for name in place.sets() if name.startswith("whole")], says=place.children)


def repair_a_set(place: Place) -> None:
    scale = {"spec": {"replicas": 0}}
    place.apps.patch_namespaced_stateful_set_scale("lost-1-worker", place.namespace, scale)
    eventually(
        lambda: place.apps.read_namespaced_stateful_set("lost-1-worker", place.namespace).spec.replicas == 2,
        says=lambda: place.status("lost"),
    )


def ask_for_events(place: Place) -> None:
    """A pod that waits for longer than usual is asked about."""
    place.submit("waits")
    eventually(lambda: [pod for pod in place.pods() if pod.metadata.name == "waits-1-head-0"])
    pod = next(pod for pod in place.pods() if pod.metadata.name == "waits-1-head-0")
    about = {"kind": "Pod", "name": pod.metadata.name, "namespace": place.namespace, "uid": pod.metadata.uid}
    event = {"metadata": {"name": "mount"}, "involvedObject": about, "type": "Warning", "reason": "FailedMount"}
    place.core.create_namespaced_event(place.namespace, {**event, "message": "MountVolume.SetUp failed"})


def write_beside_it(place: Place) -> None:
    """So often that a write of the operator's comes upon one, and it looks again."""
    place.submit("beside")
    for count in range(400):
        place.patch_job("beside", {"metadata": {"annotations": {"a.b/count": json.dumps(count)}}})
        if count % 40 == 0:
            place.patch_job("beside", {"spec": {"suspend": count % 80 == 0}})
