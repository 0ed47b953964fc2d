"""Turns fresh namespaces into what kubelet takes for a machine of its own: mounts, kernel settings, network."""

import shutil
import socket
import subprocess
from pathlib import Path

from testbed.child import wait_until
from testbed.node.layout import HOST_IP, INSIDE, NODE_IP, NODE_NAME, TRANSIT_BITS
from testbed.packages import command

# kubelet insists on these values and may not write them, so files that hold them are laid over the kernel's.
KERNEL_SETTINGS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
LINK_S = 20.0


def furnish(state: str) -> None:
    _mount_sys(Path(state))
    _sh("mount", "-t", "tmpfs", "tmpfs", "/run")
    INSIDE.mkdir()
    _sh("mount", "--bind", state, INSIDE)
    for name, value in KERNEL_SETTINGS.items():
        file = Path("/run") / name.replace("/", "-")
        file.write_text(f"{value}\n")
        _sh("mount", "--bind", file, Path("/proc/sys") / name)
    _sh("mount", "--make-rshared", "/")  # pods' volumes must propagate
    socket.sethostname(NODE_NAME)
    _connect()


def _mount_sys(state: Path) -> None:
    # A new sysfs shows the new network namespace; it comes without cgroups, so they are carried over.
    aside = state / "cgroups"
    aside.mkdir(exist_ok=True)
    _sh("mount", "--rbind", "/sys/fs/cgroup", aside)
    _sh("mount", "-t", "sysfs", "sysfs", "/sys")
    _sh("mount", "--rbind", aside, "/sys/fs/cgroup")
    _sh("umount", "-l", aside)


def _connect() -> None:
    _sh("ip", "link", "set", "lo", "up")
    # The host puts one end of a veth pair in here, for only it knows our namespace by a number.
    wait_until(Path("/sys/class/net/eth0").exists, LINK_S, lambda: "the host gave no network link")
    _sh("ip", "address", "add", f"{NODE_IP}/{TRANSIT_BITS}", "dev", "eth0")
    _sh("ip", "link", "set", "eth0", "up")
    _sh("ip", "route", "add", "default", "via", HOST_IP)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def _sh(program: str, *arguments: str | Path) -> None:
    found = shutil.which(program) or command(program)
    subprocess.run([found, *map(str, arguments)], check=True)
