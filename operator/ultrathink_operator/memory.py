"""Memory that a burst of work has freed goes back to the machine: C's allocator would keep most of it for ever."""

import ctypes
import gc
import sys

ARENAS, TRIM_ABOVE, MAP_ABOVE = -8, -1, -3
"""glibc's names for what mallopt sets: M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD."""
LIMITS = {ARENAS: 1, TRIM_ABOVE: 1 << 20, MAP_ABOVE: 1 << 18}
"""One arena, for one thread does the work; a page of a list is mapped by itself and goes as soon as it was read."""


def prepare() -> None:
    """Once, when all modules are there."""
    libc = _glibc()
    for name, value in LIMITS.items() if libc else ():
        libc.mallopt(name, value)
    gc.freeze()  # modules live for ever: the collector need not look at them again and again


def give_back() -> None:
    """Now and then."""
    libc = _glibc()
    if libc:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """None where another C library allocates."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
