"""What stands around a cluster: who may speak to its pods, whom they may reach, how many may be evicted at once."""

from typing import Literal
from urllib.parse import urlsplit

from ultrathink_api import names
from ultrathink_api.protocol import CONTROL_PORT, METRICS_PORT
from ultrathink_operator.render.order import Manifest, Order

DNS_PORT = 53
HTTPS_PORT = 443
HTTP_PORT = 80
EVERYWHERE = "0.0.0.0/0"
LINK_LOCAL = "169.254.0.0/16"
"""Where clouds serve credentials of the machine to whoever asks."""

Identity = Literal["gke", "eks", "none"]
IDENTITY: dict[Identity, tuple[tuple[str, str, int], ...]] = {
    "none": (),
    "gke": (("169.254.169.254/32", "UDP", 53), ("169.254.169.254/32", "TCP", 53), ("169.254.169.254/32", "TCP", 80)),
    "eks": (("169.254.170.23/32", "TCP", 80),),
}
"""Link-local addresses that workload identity needs: GKE's DNS and metadata server, EKS' Pod Identity agent."""


def network_policy(order: Order) -> Manifest:
    """Nothing in or out but: the cluster itself, the operator to the head's control port, metrics, DNS, the store."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": order.metadata(order.cluster),
        "spec": {
            "podSelector": {"matchLabels": order.selector()},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [_own(order)]}, _from_operator(order), {"ports": [_port(METRICS_PORT)]}],
            "egress": [{"to": [_own(order)]}, _dns(), _store(order), *_identity(order.runtime.identity)],
        },
    }


def disruption_budget(order: Order) -> Manifest:
    """One eviction at a time, so that each can be answered by a checkpoint; a sick pod may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": order.metadata(order.cluster),
        "spec": {
            "minAvailable": order.pods - 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": order.selector()},
        },
    }


def _own(order: Order) -> Manifest:
    return {"podSelector": {"matchLabels": order.selector()}}


def _from_operator(order: Order) -> Manifest:
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": order.house.namespace}},
        "podSelector": {"matchLabels": dict(names.OPERATOR_LABELS)},
    }
    return {"from": [peer], "ports": [_port(CONTROL_PORT)]}


def _dns() -> Manifest:
    return {"ports": [_port(DNS_PORT, "UDP"), _port(DNS_PORT, "TCP")]}


def _store(order: Order) -> Manifest:
    """The object store, by address and port: this kind of policy knows no names. A store that the runtime names may
    stand inside the cluster, so only link-local stays closed for it."""
    endpoint = order.runtime.storage.endpoint
    if endpoint is None:
        closed, port = [LINK_LOCAL, *order.house.denied_ranges], HTTPS_PORT
    else:
        parts = urlsplit(endpoint)
        closed, port = [LINK_LOCAL], parts.port or (HTTP_PORT if parts.scheme == "http" else HTTPS_PORT)
    return {"to": [{"ipBlock": {"cidr": EVERYWHERE, "except": closed}}], "ports": [_port(port)]}


def _identity(kind: Identity) -> list[Manifest]:
    return [{"to": [{"ipBlock": {"cidr": net}}], "ports": [_port(port, proto)]} for net, proto, port in IDENTITY[kind]]


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"protocol": protocol, "port": number}
