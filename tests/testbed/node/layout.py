"""The addresses and paths that the node, its configuration files and the host agree on."""

from pathlib import Path

# Nobody outside sees these addresses but this machine, by the veth pair between the two.
NODE_IP = "10.77.0.1"
HOST_IP = "10.77.0.254"
TRANSIT_BITS = 24
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
HOST_LINK = "utk0"

NODE_NAME = "node1"
API_PORT, REGISTRY_PORT, S3_PORT, DNS_PORT = 6443, 5000, 7070, 53
SERVER = f"https://{NODE_IP}:{API_PORT}"
REGISTRY = f"{NODE_IP}:{REGISTRY_PORT}"
S3_ENDPOINT = f"http://{NODE_IP}:{S3_PORT}"
S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION = "testbed", "testbed-secret", "us-east-1"

# The host's state folder as the node sees it: short and always the same, so configuration files are constant.
INSIDE = Path("/run/testbed")
API_SERVER_AWAY = "config/api-server-is-away"
"""While there is such a file in it, the API server is down."""
# Image layers are what costs minutes, so these outlive the cluster.
KEPT = ("containerd", "registry")
FRESH = ("etcd", "kubelet", "cni", "pod-logs", "s3", "s3-accounts", "pki", "kubeconfigs", "config", "logs")
