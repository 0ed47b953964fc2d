"""Whether memory is what killed a rank: the allocator's words, and the kernel's own count of its kills."""

import re
from pathlib import Path

import torch

CGROUPS = Path("/sys/fs/cgroup")
_REFUSED = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)


def is_short(error: BaseException) -> bool:
    """Whether an allocator refused: Python's, the device's, or that of tensors in host memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _REFUSED.search(str(error)) is not None


def kills(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """How many processes of this one's memory group the kernel has killed so far; 0 where it does not count."""
    for file in _counters(root, membership):
        try:
            text = file.read_text()
        except OSError:
            continue
        found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
        if found:
            return int(found[1])
    return 0


def _counters(root: Path, membership: Path) -> list[Path]:
    """Where the two versions of cgroups count; in a container the group is the root of what is seen."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            files += [root / "memory" / path.lstrip("/") / "memory.oom_control", root / "memory/memory.oom_control"]
        elif not controllers:
            files.append(root / path.lstrip("/") / "memory.events")
    return [*files, root / "memory.events"]
