"""A namespace with the operator's account in it, and short ways to look at what lies there."""

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from ultrathink_operator import rights

WAIT_S = 60.0
POLL_S = 0.1
ACCOUNT = "ultrathink-operator"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

QUICKSTART: dict[str, Any] = {
    "model": {"preset": "moe-tiny"},
    "data": {"uri": "builtin://stories"},
    "training": {"steps": 200},
    "workers": {"count": 2},
}


def operator_account(plane: Any, own: str, watched: list[str]) -> Path:
    """An account that holds exactly the rights that the operator says it uses, and no others."""
    with plane.api_client() as admin:
        access = client.RbacAuthorizationV1Api(admin)
        client.CoreV1Api(admin).create_namespaced_service_account(own, {"metadata": {"name": ACCOUNT}})
        granted = [(own, f"{ACCOUNT}-lease", rights.IN_OWN_NAMESPACE)]
        granted += [(namespace, ACCOUNT, rights.IN_WATCHED_NAMESPACES) for namespace in watched]
        for namespace, name, table in granted:
            access.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rights.rules(table)})
            subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": own}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
            access.create_namespaced_role_binding(namespace, binding)
    return Path(plane.kubeconfig_of_service_account(own, ACCOUNT))


def new_namespace(plane: Any) -> str:
    """One that admits restricted pods alone."""
    name = f"op-{uuid.uuid4().hex[:8]}"
    with plane.api_client() as admin:
        client.CoreV1Api(admin).create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    return name


class Place:
    """One namespace of a real API server."""

    def __init__(self, plane: Any, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        self.api = plane.api_client()
        self.core, self.apps = client.CoreV1Api(self.api), client.AppsV1Api(self.api)
        self.custom, self.network = client.CustomObjectsApi(self.api), client.NetworkingV1Api(self.api)

    def submit(self, name: str, **changes: Any) -> dict[str, Any]:
        body = {
            "apiVersion": "ultrathink.io/v1alpha1",
            "kind": "UltraThinkJob",
            "metadata": {"name": name},
            "spec": {**QUICKSTART, **changes},
        }
        return self._custom("create", body=body)

    def job(self, name: str) -> dict[str, Any]:
        return self._custom("get", name=name)

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.job(name).get("status") or {}
        return found

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == kind), {})

    def patch_job(self, name: str, change: dict[str, Any]) -> None:
        self._custom("patch", name=name, body=change)

    def delete_job(self, name: str) -> None:
        self._custom("delete", name=name)

    def exists(self, name: str) -> bool:
        try:
            self.job(name)
        except ApiException as error:
            assert error.status == 404
            return False
        return True

    def sets(self) -> list[str]:
        return sorted(s.metadata.name for s in self.apps.list_namespaced_stateful_set(self.namespace).items)

    def pods(self) -> list[Any]:
        found: list[Any] = self.core.list_namespaced_pod(self.namespace).items
        return sorted(found, key=lambda p: p.metadata.name)

    def children(self) -> list[str]:
        """Everything a job may have made, as kind/name."""
        policy = client.PolicyV1Api(self.api)
        lists = {
            "StatefulSet": self.apps.list_namespaced_stateful_set,
            "Service": self.core.list_namespaced_service,
            "Secret": self.core.list_namespaced_secret,
            "ConfigMap": self.core.list_namespaced_config_map,
            "NetworkPolicy": self.network.list_namespaced_network_policy,
            "PodDisruptionBudget": policy.list_namespaced_pod_disruption_budget,
            "Pod": self.core.list_namespaced_pod,
        }
        return sorted(
            f"{kind}/{one.metadata.name}"
            for kind, listed in lists.items()
            for one in listed(self.namespace).items
            if one.metadata.name != "kube-root-ca.crt"
        )

    def run_pod(self, name: str, ip: str, ready: bool = True) -> None:
        """What kubelet would say of a pod that runs."""
        state = "True" if ready else "False"
        conditions = [{"type": kind, "status": state} for kind in ("Ready", "ContainersReady")]
        status = {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "PodScheduled", "status": "True"}, *conditions],
        }
        self.patch_pod(name, status)

    def bind_pod(self, name: str, node: str) -> None:
        """What the scheduler would do."""
        binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": node}}
        self.core.create_namespaced_binding(self.namespace, binding, _preload_content=False)

    def patch_pod(self, name: str, status: dict[str, Any]) -> None:
        self.core.patch_namespaced_pod_status(name, self.namespace, {"status": status})

    def _custom(self, verb: str, **arguments: Any) -> dict[str, Any]:
        call = getattr(self.custom, f"{verb}_namespaced_custom_object")
        found: dict[str, Any] = call("ultrathink.io", "v1alpha1", self.namespace, "ultrathinkjobs", **arguments)
        return found


def eventually(what: Callable[[], Any], deadline_s: float = WAIT_S, says: Callable[[], Any] | None = None) -> Any:
    """The first truthy answer; fails with what was seen last."""
    end = time.monotonic() + deadline_s
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            seen = json.dumps(says(), indent=1, default=str) if says else repr(answer)
            raise AssertionError(f"not within {deadline_s:g} s; last seen: {seen}")
        time.sleep(POLL_S)
