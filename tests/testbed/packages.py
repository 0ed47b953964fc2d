"""Installs the distribution's packages that the test bed needs, where that is possible without asking."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from testbed.needs import CannotSupply

# Each command and the Debian package that brings it.
PACKAGE_OF = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "faketime": "faketime",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "cc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def command(name: str) -> str:
    """The absolute path of a command, installed first if need be."""
    ensure(name)
    found = _find(name)
    assert found, f"{PACKAGE_OF[name]} was installed and brought no {name}"
    return found


def ensure(*names: str) -> None:
    absent = sorted({PACKAGE_OF[name] for name in names if not _find(name)})
    if not absent:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *absent]
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise CannotSupply(", ".join(names), "not installed", f"sudo {' '.join(install)}")
    print(f"installing {' '.join(absent)} ...", file=sys.stderr, flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive", **os.environ}
    with _no_services_started():
        for step in (["apt-get", "update"], install):
            done = subprocess.run(step, env=quiet, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotSupply(", ".join(names), done.stderr.strip()[-500:], " ".join(step))


def _find(name: str) -> str | None:
    if name.startswith("/"):
        return name if Path(name).exists() else None
    return shutil.which(name, path=SYSTEM_PATH)


class _no_services_started:
    """Debian starts a service when its package is installed; we want the programs only."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.ours = not self.policy.exists()
        if self.ours:
            self.policy.write_text("#!/bin/sh\nexit 101\n")
            self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.policy.unlink(missing_ok=True)
