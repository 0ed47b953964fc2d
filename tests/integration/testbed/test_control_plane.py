"""The API server of the tests is a real one: it stores, it refuses, and it is gone afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from testbed.apiserver import ControlPlane
from testbed.child import wait_until


def test_stores_what_the_admin_creates(control_plane: ControlPlane, namespace: str) -> None:
    with control_plane.api_client() as admin:
        core = client.CoreV1Api(admin)
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "kept"}, "data": {"a": "1"}})
        assert core.read_namespaced_config_map("kept", namespace).data == {"a": "1"}


def test_refuses_a_service_account_without_a_role(control_plane: ControlPlane, namespace: str) -> None:
    core = _core_of_new_service_account(control_plane, namespace)
    with pytest.raises(ApiException) as refused:
        core.list_namespaced_pod(namespace)
    assert refused.value.status == 403


def test_obeys_a_service_account_with_a_role(control_plane: ControlPlane, namespace: str) -> None:
    core = _core_of_new_service_account(control_plane, namespace)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lister"}
    with control_plane.api_client() as admin:
        rbac = client.RbacAuthorizationV1Api(admin)
        rbac.create_namespaced_role(namespace, {"metadata": {"name": "lister"}, "rules": rules})
        binding = {"metadata": {"name": "lister"}, "roleRef": role, "subjects": [subject]}
        rbac.create_namespaced_role_binding(namespace, binding)

    def listed() -> bool:  # the authorizer learns of a binding a moment after it is stored
        try:
            return core.list_namespaced_pod(namespace).items == []
        except ApiException:
            return False

    wait_until(listed, 10, lambda: "the binding has no effect")


def test_knows_a_user_by_certificate(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.kubeconfig_of_user("ana", "team-a")
    with control_plane.api_client(kubeconfig) as connection:
        review = client.AuthenticationV1Api(connection).create_self_subject_review({})
    assert review.status.user_info.username == "ana"
    assert "team-a" in review.status.user_info.groups


def test_controllers_collect_what_a_deleted_owner_leaves(control_plane_with_controllers: ControlPlane) -> None:
    with control_plane_with_controllers.api_client() as admin:
        core = client.CoreV1Api(admin)
        owner = core.create_namespaced_config_map("default", {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
        core.create_namespaced_config_map("default", {"metadata": {"name": "owned", "ownerReferences": [reference]}})
        core.delete_namespaced_config_map("owner", "default")

        def names() -> set[str]:
            return {item.metadata.name for item in core.list_namespaced_config_map("default").items}

        wait_until(lambda: "owned" not in names(), 30, lambda: f"still there: {names()}")


def test_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also when that process is killed and can clean nothing up."""
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from testbed.child import Child\n"
        "child = Child(['sleep', '1000'], log=Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    tests = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until(lambda: _name_of(child) == "sleep", 10, lambda: f"the child is {_name_of(child)!r}")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: _name_of(child) in ("", "zombie"), 10, lambda: "the child lives on")


def _name_of(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return ""
    return "zombie" if "State:\tZ" in status else status.split()[1]


def _core_of_new_service_account(plane: ControlPlane, namespace: str) -> client.CoreV1Api:
    with plane.api_client() as admin:
        client.CoreV1Api(admin).create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    kubeconfig = plane.kubeconfig_of_service_account(namespace, "robot")
    return client.CoreV1Api(plane.api_client(kubeconfig))
