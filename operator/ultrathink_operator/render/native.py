"""The provider `native`: two StatefulSets and a headless Service, kept by Kubernetes' own controllers."""

from ultrathink_api import names
from ultrathink_api.protocol import CONTROL_PORT
from ultrathink_operator.render import pods
from ultrathink_operator.render.order import Manifest, Order


def service(order: Order) -> Manifest:
    """Names for the pods, served before they are ready: agents look for the head while it starts."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": order.metadata(order.cluster),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": order.selector(),
            "ports": [{"name": "control", "port": CONTROL_PORT}],
        },
    }


def sets(order: Order) -> tuple[Manifest, ...]:
    """The head, and the workers where there are any."""
    head = _set(order, names.HEAD, names.head_set(order.job, order.number), 1)
    if not order.workers:
        return (head,)
    return head, _set(order, names.WORKER, names.worker_set(order.job, order.number), order.workers)


def _set(order: Order, role: str, name: str, replicas: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": order.metadata(name, role),
        "spec": {
            "replicas": replicas,
            "serviceName": order.cluster,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": order.selector(role)},
            "template": pods.template(order, role),
        },
    }
