"""A whole Kubernetes of one node, as processes in namespaces of their own: up, down, and what is in between."""

import fcntl
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import TextIO

from testbed import audit, images, kubeconfigs, packages, paths
from testbed.binaries import binary
from testbed.child import listens, tail, wait_until
from testbed.engines import Buildah
from testbed.https import answers_ok, trust
from testbed.needs import CannotSupply
from testbed.node import layout
from testbed.pki import Authority

PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "registry",
    "versitygw",
)
TOOLS = ("kubectl", "helm")
SYSTEM = ("etcd", "containerd", "runc", "ip", "iptables", "nft", "conntrack", "mount", "unshare", "/usr/lib/cni/bridge")
NODE_CONFIG = Path(__file__).parent / "node"
PAUSE = f"{layout.REGISTRY}/pause:1"
UP_S = 180.0  # about 8 on an idle machine
DOWN_S = 20.0  # about 1
KEPT_IMAGE_BYTES = 4 << 30
SERVED = (layout.REGISTRY_PORT, layout.S3_PORT, layout.DNS_PORT)


class ProcessCluster:
    """There is one a machine; every method finds out for itself whether it runs."""

    def __init__(self) -> None:
        self.state = paths.cache() / "cluster"
        self.kubeconfig = self.state / "kubeconfigs" / "admin"
        self.tools = self.state / "tools"

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Up for the block. The last borrower ends it, unless somebody keeps it, for test runs may overlap."""
        _refuse_where_it_cannot_run()
        with self._borrowers() as mine:
            fcntl.flock(mine, fcntl.LOCK_SH)
            try:
                self.up(keep=False)
                yield
            finally:
                fcntl.flock(mine, fcntl.LOCK_UN)
                with self._lock():
                    if not self._keep.exists() and not self._is_borrowed():
                        self._end()

    def up(self, keep: bool = True) -> None:
        """Starts it, if it does not run; `keep` until down()."""
        _refuse_where_it_cannot_run()
        with self._lock():
            if not self.runs():
                self._end()
                self._bring_up()
            if keep:
                self._keep.touch()

    def down(self, purge: bool = False, force: bool = False) -> None:
        """Ends it and all it left; `purge` also forgets the kept image layers."""
        with self._lock():
            if not force and self._is_borrowed():
                raise RuntimeError("a test run uses the cluster; --force ends it all the same")
            self._end()
            for name in layout.FRESH:
                if name != "logs":
                    shutil.rmtree(self.state / name, ignore_errors=True)
            if purge:
                shutil.rmtree(self.state, ignore_errors=True)

    def runs(self) -> bool:
        # An `up` that was killed on its way leaves an API server that answers, and little else.
        complete = self._init() is not None and self._complete.exists()
        return complete and answers_ok(f"{layout.SERVER}/readyz", self._as_admin())

    def exec(self, command: Sequence[str]) -> int:
        """Runs a command inside the cluster's namespaces, as on its node."""
        init = self._init()
        if init is None:
            raise CannotSupply("cluster", "it does not run", "python -m testbed cluster up")
        enter = ["nsenter", "--target", str(init), "--mount", "--pid", "--net", "--uts"]
        path = os.pathsep.join([str(self.tools), packages.SYSTEM_PATH])
        inside = {**os.environ, "KUBECONFIG": f"{layout.INSIDE}/kubeconfigs/admin", "PATH": path}
        return subprocess.run([*enter, "--", *command], env=inside, check=False).returncode

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """It is killed for the block, and started again; nobody else takes the cluster for a broken one meanwhile."""
        mark = self.state / layout.API_SERVER_AWAY
        with self._lock():
            mark.touch()
            try:
                wait_until(lambda: not listens(layout.NODE_IP, layout.API_PORT), DOWN_S, self._complaint)
                yield
            finally:
                mark.unlink()
                wait_until(lambda: answers_ok(f"{layout.SERVER}/readyz", self._as_admin()), UP_S, self._complaint)

    def load_image(self, ref: str) -> str:
        """Pushes a local image into the cluster's registry, layer by layer; the answer is the name for pods."""
        name = ref.removeprefix("localhost/")
        return Buildah().push(ref, f"{layout.REGISTRY}/{name}")

    def _forget_images(self) -> None:
        """Each change of a source pushes an image of gigabytes that nobody asks for again."""
        blobs = (self.state / "registry").rglob("data")
        if sum(blob.stat().st_size for blob in blobs) > KEPT_IMAGE_BYTES:
            for name in layout.KEPT:
                shutil.rmtree(self.state / name, ignore_errors=True)

    def _bring_up(self) -> None:
        packages.ensure(*SYSTEM)
        self._forget_images()
        _refuse_where_the_network_is_taken()
        programs = {name: binary(name) for name in PROGRAMS} | {"etcd": binary("etcd")}
        programs["containerd"] = Path(packages.command("containerd"))
        self._link_tools()
        pause = images.pause()
        self._lay_out()
        try:
            self._start(programs)
            self._wait_for_servers()
            Buildah().push(pause, PAUSE)
            self._serve_names()
            wait_until(self._node_is_ready, UP_S, self._complaint)
            self._complete.touch()
        except BaseException:
            self._end()
            raise

    def _start(self, programs: dict[str, Path]) -> None:
        command = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc"]
        python = [sys.executable, "-m", "testbed.node.main", str(self.state)]
        environment = {
            "PATH": packages.SYSTEM_PATH,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with (self.state / "logs" / "node.log").open("wb") as log:
            outer = subprocess.Popen(
                [*command, *python, *(f"{name}={path}" for name, path in programs.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,  # it outlives the command that started it
            )
        wait_until(lambda: bool(_children_of(outer.pid)) or outer.poll() is not None, UP_S, self._complaint)
        if outer.poll() is not None:
            raise RuntimeError(self._complaint())
        init = _children_of(outer.pid)[0]
        self._record.write_text(json.dumps({"init": init, "started": _start_time(init)}))
        _ip("link", "add", layout.HOST_LINK, "type", "veth", "peer", "name", "eth0", "netns", str(init))
        _ip("address", "add", f"{layout.HOST_IP}/{layout.TRANSIT_BITS}", "dev", layout.HOST_LINK)
        _ip("link", "set", layout.HOST_LINK, "up")

    def _wait_for_servers(self) -> None:
        as_admin = self._as_admin()

        def ready() -> bool:
            if self._init() is None:
                raise RuntimeError(self._complaint())
            return answers_ok(f"{layout.SERVER}/readyz", as_admin) and all(listens(layout.NODE_IP, p) for p in SERVED)

        wait_until(ready, UP_S, self._complaint)

    def _serve_names(self) -> None:
        self._kubectl("apply", "--server-side", "-f", str(NODE_CONFIG / "kube-dns.yaml"))

    def _node_is_ready(self) -> bool:
        path = "{.status.conditions[?(@.type=='Ready')].status}"
        node = self._kubectl("get", "node", layout.NODE_NAME, "--ignore-not-found", "-o", f"jsonpath={path}")
        # A pod that comes before its namespace's default ServiceAccount is refused.
        account = self._kubectl("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name")
        return node == "True" and bool(account)

    def _kubectl(self, *arguments: str) -> str:
        command = [str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _end(self) -> None:
        if self._record.exists():  # a network link without a record is somebody else's
            self._end_processes()
        for mark in (self._record, self._complete, self._keep):
            mark.unlink(missing_ok=True)

    def _end_processes(self) -> None:
        init = self._init()
        if init is not None:
            with suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)  # the kernel ends every process of its namespace with it
            wait_until(lambda: self._init() is None, DOWN_S, lambda: f"process {init} does not end")
        link = Path("/sys/class/net", layout.HOST_LINK)
        if link.exists():
            with suppress(RuntimeError):  # it goes by itself too, with the other end's network
                _ip("link", "delete", layout.HOST_LINK)
            wait_until(lambda: not link.exists(), DOWN_S, lambda: f"{layout.HOST_LINK} does not go")
        _remove_pod_cgroups()

    def _lay_out(self) -> None:
        for name in layout.FRESH:
            shutil.rmtree(self.state / name, ignore_errors=True)
        for name in (*layout.FRESH, *layout.KEPT):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        (self.state / "etcd").chmod(0o700)
        config = self.state / "config"
        for name in ("containerd.toml", "registry.yaml", "kubelet.yaml", "kube-proxy.yaml", "Corefile", "resolv.conf"):
            shutil.copy(NODE_CONFIG / name, config / name)
        audit.write_policy(config)
        for folder, name in (("cni", "cni.conflist"), (f"registries/{layout.REGISTRY}", "hosts.toml")):
            (config / folder).mkdir(parents=True)
            shutil.copy(NODE_CONFIG / name, config / folder / name)
        self._introduce_users(Authority(self.state / "pki"))

    def _introduce_users(self, authority: Authority) -> None:
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        addresses = [layout.NODE_IP, layout.KUBERNETES_SERVICE_IP, "127.0.0.1"]
        serves = (*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses))
        authority.service_account_key()
        authority.issue("apiserver", "kube-apiserver", serves=serves)
        authority.issue("apiserver-kubelet", "apiserver-kubelet", groups=("system:masters",))
        node = f"system:node:{layout.NODE_NAME}"
        node_serves = (f"DNS:{layout.NODE_NAME}", f"IP:{layout.NODE_IP}")
        users = {
            "admin": authority.issue("admin", "admin", groups=("system:masters",)),
            "controller-manager": authority.issue("controller-manager", "system:kube-controller-manager"),
            "scheduler": authority.issue("scheduler", "system:kube-scheduler"),
            "proxy": authority.issue("proxy", "system:kube-proxy"),
            layout.NODE_NAME: authority.issue(layout.NODE_NAME, node, ("system:nodes",), node_serves),
        }
        for name, pair in users.items():
            path = self.state / "kubeconfigs" / name
            kubeconfigs.write(path, layout.SERVER, authority.certificate, kubeconfigs.by_certificate(*pair))

    def _link_tools(self) -> None:
        self.tools.mkdir(parents=True, exist_ok=True)
        for name in TOOLS:
            link = self.tools / name
            link.unlink(missing_ok=True)
            link.symlink_to(binary(name))

    def _as_admin(self) -> ssl.SSLContext:
        pki = self.state / "pki"
        return trust(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")

    @property
    def _record(self) -> Path:
        return self.state / "init.json"

    def _borrowers(self) -> TextIO:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        return self.state.with_suffix(".borrowers").open("w")

    def _is_borrowed(self) -> bool:
        with self._borrowers() as probe:
            try:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @property
    def _keep(self) -> Path:
        return self.state / "keep"

    @property
    def _complete(self) -> Path:
        return self.state / "complete"

    def _init(self) -> int | None:
        """The cluster's process 1, as this machine numbers it; None where it does not run."""
        try:
            record = json.loads(self._record.read_text())
            # A number alone could by now be somebody else's.
            return record["init"] if _start_time(record["init"]) == record["started"] else None
        except (OSError, ValueError):
            return None

    def _complaint(self) -> str:
        logs = self.state / "logs"
        return f"the cluster did not come up; logs in {logs}; node.log ends with:\n{tail(logs / 'node.log')}"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        with self.state.with_suffix(".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _refuse_where_it_cannot_run() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotSupply("cluster of processes", "it takes root on Linux", "a Docker engine, or UTK_E2E_KUBECONFIG")


def _refuse_where_the_network_is_taken() -> None:
    network = f"{layout.HOST_IP}/{layout.TRANSIT_BITS}"
    routes = _ip("route", "show", "root", str(ip_network(network, strict=False)))
    if routes:
        raise CannotSupply("cluster", f"this machine has a route of its own there: {routes}", "UTK_E2E_KUBECONFIG")


def _children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _start_time(pid: int) -> int:
    """In ticks since boot; with the number it names a process for good. OSError where there is none."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[19])


def _ip(*arguments: str) -> str:
    done = subprocess.run([packages.command("ip"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _remove_pod_cgroups() -> None:
    """Control groups belong to no namespace, so they outlive the cluster."""
    for root in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        folders = sorted((root / "kubepods").glob("**/"), key=lambda folder: len(folder.parts), reverse=True)
        for folder in folders:
            with suppress(OSError):  # one still in use is not ours
                folder.rmdir()
