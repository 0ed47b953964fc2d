"""The test plays the operator: it writes the status of jobs and the pods that carry their logs."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from ultrathink_api import API_GROUP, API_VERSION, names
from ultrathink_api.job import PLURAL

MERGE = "application/merge-patch+json"
DEADLINE_S = 60.0


def eventually(look: Callable[[], Any], deadline: float = DEADLINE_S) -> Any:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + deadline
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
    return found


class Stage:
    """One namespace of a cluster, with an operator's and a kubelet's rights."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._jobs = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._rbac = client.RbacAuthorizationV1Api(api)

    def job(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._jobs.get_namespaced_custom_object(*self._where, name)
        except client.ApiException as error:
            assert error.status == 404
            return None
        return found

    def apply(self, job: dict[str, Any]) -> None:
        self._jobs.create_namespaced_custom_object(*self._where, job)

    def status(self, name: str, **status: Any) -> None:
        """What an operator that has seen the job writes."""
        job = eventually(lambda: self.job(name))
        seen = {"observedGeneration": job["metadata"]["generation"], **status}
        self._jobs.patch_namespaced_custom_object_status(*self._where, name, {"status": seen}, _content_type=MERGE)

    def annotate(self, name: str, **annotations: str) -> None:
        self._jobs.patch_namespaced_custom_object(
            *self._where, name, {"metadata": {"annotations": annotations}}, _content_type=MERGE
        )

    def finalize(self, name: str, *finalizers: str) -> None:
        self._jobs.patch_namespaced_custom_object(
            *self._where, name, {"metadata": {"finalizers": list(finalizers) or None}}, _content_type=MERGE
        )

    def head(self, job: str, node: str, number: int = 1) -> str:
        """A head pod that runs; its name."""
        name = names.head_pod(job, number)
        self._core.create_namespaced_pod(
            self.namespace,
            {
                "metadata": {"name": name, "labels": names.labels(job, "some-uid", number, names.HEAD)},
                "spec": {"nodeName": node, "containers": [{"name": "head", "image": "none"}]},
            },
        )
        running = {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "head",
                    "image": "none",
                    "imageID": "none",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        }
        self._core.patch_namespaced_pod_status(name, self.namespace, {"status": running})
        return name

    def event(self, kind: str, name: str, reason: str, uid: str = "some-uid", **more: Any) -> None:
        """What a kubelet, a scheduler or a controller tells of an object."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"kind": kind, "name": name, "namespace": self.namespace, "uid": uid}
        told = {"type": "Warning", "reason": reason, "lastTimestamp": now, **more}
        metadata = {"generateName": "told-"}
        self._core.create_namespaced_event(self.namespace, {"metadata": metadata, "involvedObject": about, **told})

    def permit(self, user: str, *rules: dict[str, Any]) -> None:
        """A Role of this namespace, bound to a user."""
        group = "rbac.authorization.k8s.io"
        self._rbac.create_namespaced_role(self.namespace, {"metadata": {"name": user}, "rules": list(rules)})
        self._rbac.create_namespaced_role_binding(
            self.namespace,
            {
                "metadata": {"name": user},
                "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
                "roleRef": {"kind": "Role", "name": user, "apiGroup": group},
            },
        )

    def remove_pod(self, name: str) -> None:
        self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)

    @property
    def _where(self) -> tuple[str, str, str, str]:
        return API_GROUP, API_VERSION, self.namespace, PLURAL
