"""A cluster of kind's, where a Docker engine answers."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from testbed import paths
from testbed.binaries import binary
from testbed.engines import Docker, run
from testbed.makers import Cluster, ObjectStore
from testbed.s3 import S3Server

NAME = "ultrathink-e2e"
READY = "180s"


@contextmanager
def cluster() -> Iterator[Cluster]:
    kind = shutil.which("kind") or str(binary("kind"))
    kubeconfig = paths.cache() / "kind.kubeconfig"
    existed = NAME in run(kind, "get", "clusters").split()
    try:
        if existed:
            run(kind, "export", "kubeconfig", "--name", NAME, "--kubeconfig", str(kubeconfig))
        else:
            kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            run(kind, "create", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig), "--wait", READY)

        def hand_over(ref: str) -> str:
            run(kind, "load", "docker-image", ref, "--name", NAME)
            return ref

        with S3Server(host=_gateway()) as s3:
            store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, s3.region)
            yield Cluster("kind", kubeconfig, store, Docker().build, hand_over, without_api_server)
    finally:
        if not existed:
            run(kind, "delete", "cluster", "--name", NAME)


@contextmanager
def without_api_server() -> Iterator[None]:
    """kubelet stops it once its manifest is gone, and starts it when it is back."""
    node, manifest, aside = f"{NAME}-control-plane", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/root/aside.yaml"
    run("docker", "exec", node, "mv", manifest, aside)
    try:
        yield
    finally:
        run("docker", "exec", node, "mv", aside, manifest)


def _gateway() -> str:
    """This machine's address on kind's network: the one that pods and tests share."""
    network = json.loads(run("docker", "network", "inspect", "kind"))[0]
    gateways = [entry["Gateway"] for entry in network["IPAM"]["Config"] if "Gateway" in entry]
    return next(str(address) for address in gateways if ip_address(address).version == 4)
