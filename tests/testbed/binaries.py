"""Builds the test bed's Go programs on demand and keeps them in the user's cache, keyed by version and platform."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import packages, paths
from testbed.needs import CannotSupply

MODULES = Path(__file__).parent / "go"
KUBERNETES = "v1.36.3"
HELM_UNITTEST = "github.com/helm-unittest/helm-unittest"
# Only these two are what KUBEBUILDER_ASSETS holds for us.
ASSETS = ("etcd", "kube-apiserver")


@dataclass(frozen=True)
class Program:
    name: str
    version: str
    module: str  # the folder under go/ whose go.mod pins it
    package: str
    first_build_s: int  # measured on two cores with cold caches; only for the progress line
    stamp: str = ""  # linker flags that tell the program its version

    def path(self) -> Path:
        return paths.cache() / "bin" / paths.go_platform() / f"{self.name}-{self.version}" / self.name


def _kubernetes(name: str, first_build_s: int) -> Program:
    package = "k8s.io/component-base/version"
    _, minor, _ = KUBERNETES.split(".")
    stamp = f"-X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
    return Program(name, KUBERNETES, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", first_build_s, stamp)


PROGRAMS = {
    program.name: program
    for program in (
        _kubernetes("kube-apiserver", 225),
        _kubernetes("kube-controller-manager", 53),
        _kubernetes("kube-scheduler", 5),
        _kubernetes("kubelet", 20),
        _kubernetes("kube-proxy", 6),
        _kubernetes("kubectl", 22),
        Program("versitygw", "v1.8.0", "versitygw", "github.com/versity/versitygw/cmd/versitygw", 52),
        Program("coredns", "v1.15.0", "coredns", "github.com/coredns/coredns", 122),
        Program("helm", "v4.3.1", "helm", "helm.sh/helm/v4/cmd/helm", 97),
        Program("registry", "v3.1.2", "registry", "github.com/distribution/distribution/v3/cmd/registry", 60),
        Program("kind", "v0.33.0", "kind", "sigs.k8s.io/kind", 20),
        Program("kubeconform", "v0.8.0", "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", 3),
        Program("actionlint", "v1.7.12", "actionlint", "github.com/rhysd/actionlint/cmd/actionlint", 15),
        Program("helm-unittest", "v1.1.2", "helm-unittest", f"{HELM_UNITTEST}/cmd/helm-unittest", 60),
    )
}


def binary(name: str) -> Path:
    """The program's path: from KUBEBUILDER_ASSETS, the distribution (etcd), the cache, or built now."""
    given = _from_assets(name)
    if given:
        return given
    if name == "etcd":
        return Path(packages.command("etcd"))
    program = PROGRAMS[name]
    path = program.path()
    if not path.exists():
        _build_once(program)
    return path


def _from_assets(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or name not in ASSETS:
        return None
    path = Path(folder) / name
    if not path.exists():
        raise CannotSupply(name, f"KUBEBUILDER_ASSETS={folder} has none", "unset KUBEBUILDER_ASSETS")
    return path


def _build_once(program: Program) -> None:
    final = program.path().parent
    final.parent.mkdir(parents=True, exist_ok=True)
    with _lock(final.parent / f".{final.name}.lock"):
        if final.exists():  # another process built it while we waited
            return
        making = final.parent / f".{final.name}.making"
        shutil.rmtree(making, ignore_errors=True)
        _build(program, making / program.name)
        making.rename(final)


def _build(program: Program, output: Path) -> None:
    label = f"{program.name} {program.version}"
    _say(f"building {label} ... {program.first_build_s} s the first time")
    started = time.monotonic()
    flags = f"-s -w {program.stamp}".strip()
    done = subprocess.run(
        [go(), "build", "-trimpath", "-ldflags", flags, "-o", str(output), program.package],
        cwd=MODULES / program.module,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=readonly".strip()},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_be_nice,
    )
    if done.returncode != 0:
        raise CannotSupply(label, done.stderr.strip()[-800:], f"python -m testbed binaries {program.name}")
    _say(f"built {label} in {time.monotonic() - started:.0f} s")


def _be_nice() -> None:
    os.nice(5)  # a build must not make the tests beside it miss their deadlines


def go() -> str:
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
    if not go:
        raise CannotSupply("Go programs", "no go command", "install Go 1.26 or newer, https://go.dev/dl")
    return go


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
