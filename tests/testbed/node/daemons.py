"""Starts the cluster's daemons in the order in which they need each other, and ends when one of them ends."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from testbed import audit
from testbed.child import Child
from testbed.https import answers_ok, trust
from testbed.node import layout
from testbed.node.layout import INSIDE, NODE_IP, NODE_NAME

CONFIG, PKI, KUBECONFIGS, LOGS = INSIDE / "config", INSIDE / "pki", INSIDE / "kubeconfigs", INSIDE / "logs"
API_S = 120.0  # about 3 on an idle machine
LOOK_S = 0.2
AWAY = INSIDE / layout.API_SERVER_AWAY
ETCD = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"


def run(programs: Mapping[str, str]) -> None:
    def start(name: str, *flags: str, env: Mapping[str, str] | None = None) -> Child:
        return Child([programs[name], *flags], log=LOGS / f"{name}.log", env=env)

    def start_api_server() -> Child:
        return start("kube-apiserver", *_apiserver())

    others = [start("etcd", *_etcd())]
    api_server = start_api_server()
    others += [
        start("containerd", "--config", f"{CONFIG}/containerd.toml"),
        start("registry", "serve", f"{CONFIG}/registry.yaml", env={"OTEL_TRACES_EXPORTER": "none"}),
        start("versitygw", *_versitygw(), env=_s3_keys()),
    ]
    as_admin = trust(PKI / "ca.crt", PKI / "admin.crt", PKI / "admin.key")
    api_server.wait_until(lambda: answers_ok(f"{layout.SERVER}/readyz", as_admin), API_S)
    others += [
        start("kube-controller-manager", *_controller_manager()),
        start("kube-scheduler", *_authenticated_as("scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1"),
        start("kubelet", *_kubelet()),
        start("kube-proxy", f"--config={CONFIG}/kube-proxy.yaml"),
        start("coredns", "-conf", f"{CONFIG}/Corefile"),
    ]
    _watch_over(others, api_server, start_api_server)


def _watch_over(others: Sequence[Child], api_server: Child, start_api_server: Callable[[], Child]) -> None:
    """Until one of them ends; the API server alone goes and comes as a file says."""
    while True:
        gone = next((child for child in (*others, api_server) if not child.alive()), None)
        if gone is not None:
            said = f"{gone.name} ended, and with it the cluster; see {gone.name}.log"
            print(said, file=sys.stderr, flush=True)
            return
        if AWAY.exists():
            api_server.kill()
            while AWAY.exists():
                time.sleep(LOOK_S)
            api_server = start_api_server()
        time.sleep(LOOK_S)


def _etcd() -> list[str]:
    return [
        f"--data-dir={INSIDE}/etcd",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        "--unsafe-no-fsync",  # its data end with the cluster
    ]


def _apiserver() -> list[str]:
    return [
        f"--etcd-servers={ETCD}",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        f"--advertise-address={NODE_IP}",
        f"--bind-address={NODE_IP}",
        f"--secure-port={layout.API_PORT}",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--audit-policy-file={CONFIG}/{audit.POLICY}",
        f"--audit-log-path={INSIDE}/logs/{audit.LOG}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/sa.key",
        f"--service-account-signing-key-file={PKI}/sa.key",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _controller_manager() -> list[str]:
    return [
        *_authenticated_as("controller-manager"),
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _kubelet() -> list[str]:
    return [
        f"--config={CONFIG}/kubelet.yaml",
        f"--kubeconfig={KUBECONFIGS}/node1",
        f"--root-dir={INSIDE}/kubelet",
        f"--cert-dir={INSIDE}/kubelet/pki",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_IP}",
    ]


def _versitygw() -> list[str]:
    address = f"{NODE_IP}:{layout.S3_PORT}"
    return ["--port", address, "--iam-dir", f"{INSIDE}/s3-accounts", "posix", f"{INSIDE}/s3"]


def _s3_keys() -> dict[str, str]:
    return {"ROOT_ACCESS_KEY": layout.S3_ACCESS_KEY, "ROOT_SECRET_KEY": layout.S3_SECRET_KEY}


def _authenticated_as(user: str) -> list[str]:
    kinds = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [f"--{kind}={KUBECONFIGS}/{user}" for kind in kinds]
