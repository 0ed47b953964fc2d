"""An operator as others see it: its Deployment, which nobody runs here, and its Lease."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes import client

from ultrathink_api import names

NAME = "ultrathink-operator"


def install(api: client.ApiClient, namespace: str, *watched: str, available: int = 1, silent: float = 0.0) -> None:
    """An operator in a namespace that watches some namespaces and last renewed its Lease so many seconds ago."""
    labels = dict(names.OPERATOR_LABELS)
    env = [
        {"name": "ULTRATHINK_WATCH_NAMESPACES", "value": ",".join(watched)},
        {"name": "ULTRATHINK_LEASE", "value": NAME},
    ]
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "operator", "image": "none", "env": env}]},
        },
    }
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, {"metadata": {"name": NAME, "labels": labels}, "spec": spec})
    status = {"replicas": 1, "readyReplicas": available, "availableReplicas": available}
    apps.patch_namespaced_deployment_status(NAME, namespace, {"status": status})
    renewed = (datetime.now(UTC) - timedelta(seconds=silent)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease = {"holderIdentity": "pod-1", "leaseDurationSeconds": 15, "renewTime": renewed}
    client.CoordinationV1Api(api).create_namespaced_lease(namespace, {"metadata": {"name": NAME}, "spec": lease})
