"""A real Kubernetes API server for tests: etcd, kube-apiserver and, if asked for, the controllers, on loopback."""

import shutil
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from testbed import audit, kubeconfigs
from testbed.binaries import binary
from testbed.child import Child, Died, free_port, listens
from testbed.https import answers_ok, trust
from testbed.pki import Authority

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

READY_S = 60.0  # about 3 on an idle machine; a busy one may be twenty times slower
TRIES = 3  # a port found free can be taken by somebody else before we listen on it
TOKEN_S = 86400  # outlives every test session
SERVICE_RANGE = "10.0.0.0/24"


class ControlPlane:
    """`with ControlPlane() as plane:` serves until the block, or this process, ends.

    Without controllers nothing acts on what is stored (no garbage collection, no StatefulSet's pods), so a test can
    play their part; with them, `controllers=True`, objects live as on a cluster that has no nodes.
    """

    def __init__(self, controllers: bool = False) -> None:
        self._controllers = controllers
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="utk-apiserver-"))
        try:
            self._authority = Authority(self.folder / "pki")
            self._serving = self._authority.issue(
                "apiserver", "kube-apiserver", serves=("DNS:localhost", "IP:127.0.0.1")
            )
            self._admin = self._authority.issue("admin", "admin", groups=("system:masters",))
            for _ in range(TRIES - 1):
                try:
                    self._start()
                    return self
                except Died:
                    self._stop()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kubeconfig(self) -> Path:
        """The admin's."""
        return self.folder / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What ServiceAccounts have asked for, one event a line."""
        return self.folder / "audit.log"

    @property
    def etcd(self) -> Child:
        """For tests that take it away."""
        return next(child for child in self._children if child.name == "etcd")

    @property
    def ca(self) -> Path:
        return self._authority.certificate

    def api_client(self, kubeconfig: Path | None = None) -> "ApiClient":
        from kubernetes import config

        return config.new_client_from_config(str(kubeconfig or self.kubeconfig))

    def new_namespace(self, name: str) -> str:
        from kubernetes import client

        with self.api_client() as admin:
            client.CoreV1Api(admin).create_namespace({"metadata": {"name": name}})
        return name

    def kubeconfig_of_service_account(self, namespace: str, name: str) -> Path:
        """Authenticates with a token of that ServiceAccount, as a pod would."""
        from kubernetes import client

        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=86400)
        )
        with self.api_client() as admin:
            answer = client.CoreV1Api(admin).create_namespaced_service_account_token(name, namespace, request)
        return self._kubeconfig(f"sa-{namespace}-{name}", kubeconfigs.by_token(answer.status.token), namespace)

    def kubeconfig_of_user(self, user: str, *groups: str, namespace: str = "default") -> Path:
        """Authenticates as any user in any groups, by a certificate."""
        name = "-".join(["user", user, *groups]).replace(":", "_").replace("/", "_")
        certificate = self._authority.issue(name, user, groups)
        return self._kubeconfig(name, kubeconfigs.by_certificate(*certificate), namespace)

    def _start(self) -> None:
        etcd_port, peer_port, port = free_port(), free_port(), free_port()
        self.server = f"https://127.0.0.1:{port}"
        etcd = self._start_etcd(etcd_port, peer_port)
        etcd.wait_until(lambda: listens("127.0.0.1", etcd_port), READY_S)
        apiserver = self._start_apiserver(etcd_port, port)
        self._kubeconfig("admin", kubeconfigs.by_certificate(*self._admin))
        as_admin = trust(self.ca, *self._admin)
        apiserver.wait_until(lambda: answers_ok(f"{self.server}/readyz", as_admin), READY_S)
        if self._controllers:
            self._start_controllers(as_admin)

    def _start_etcd(self, port: int, peer_port: int) -> Child:
        data = self.folder / "etcd"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        return self._child(
            binary("etcd"),
            f"--data-dir={data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # tests need no durability
        )

    def _start_apiserver(self, etcd_port: int, port: int) -> Child:
        certificate, key = self._serving
        # The controller-manager makes the ServiceAccounts that this admission plugin insists on.
        without = [] if self._controllers else ["--disable-admission-plugins=ServiceAccount"]
        return self._child(
            binary("kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # nobody reaches it as a Service, and loopback would be refused
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={self.ca}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--audit-policy-file={audit.write_policy(self.folder)}",
            f"--audit-log-path={self.audit_log}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self._authority.service_account_key()}",
            f"--service-account-signing-key-file={self._authority.service_account_key()}",
            *without,
        )

    def _start_controllers(self, as_admin: ssl.SSLContext) -> None:
        user = "system:kube-controller-manager"
        identity = kubeconfigs.by_certificate(*self._authority.issue("controller-manager", user))
        kubeconfig = self._kubeconfig("controller-manager", identity)
        port = free_port()
        manager = self._child(
            binary("kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={self._authority.service_account_key()}",
            f"--root-ca-file={self.ca}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
        )
        default_account = f"{self.server}/api/v1/namespaces/default/serviceaccounts/default"
        manager.wait_until(lambda: answers_ok(default_account, as_admin), READY_S)

    def _child(self, program: Path, *flags: str) -> Child:
        child = Child([program, *flags], log=self.folder / f"{program.name}.log")
        self._children.append(child)
        return child

    def _stop(self) -> None:
        # Nothing here is worth a graceful end, and the API server would take seconds over it.
        while self._children:
            self._children.pop().kill()

    def _kubeconfig(self, name: str, identity: dict[str, str], namespace: str = "default") -> Path:
        return kubeconfigs.write(self.folder / f"{name}.kubeconfig", self.server, self.ca, identity, namespace)
