"""Where the test bed keeps what is costly to make: one folder in the user's cache."""

import os
import platform
import sys
from pathlib import Path


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ultrathink" / "testbed"


def go_platform() -> str:
    """The platform as Go names it, e.g. linux-amd64."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{sys.platform}-{arch}"
