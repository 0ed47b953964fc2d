"""Memory of tensors that a step frees is kept for the next one; C's allocator would hand back every page of it."""

import ctypes
import sys

TRIM_ABOVE, MAP_ABOVE = -1, -3
"""glibc's names for what mallopt sets: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD."""
LIMITS = {TRIM_ABOVE: 2**31 - 1, MAP_ABOVE: 32 * 2**20}
"""The most that glibc takes. A page that is handed back is zeroed when it is asked for again: of a step on CPU that was
a tenth, and several times as much while a save fills the page cache."""


def keep() -> None:
    """Once, in a process that trains on CPU. What it holds at most does not change."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for name, value in LIMITS.items():
            libc.mallopt(name, value)
