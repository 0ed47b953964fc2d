"""Whether a thread waits for other ranks: told by its innermost frame, whatever called it."""

import re

_MODULES = (
    r"distributed/distributed_c10d\.py",
    r"distributed/_functional_collectives\.py",
    r"distributed/fsdp/_fully_shard/_fsdp_(collectives|param_group)\.py",
    r"distributed/pipelining/schedules\.py",
)
"""Of torch. They start collectives and wait for them, and compute next to nothing themselves; what they call of a
model has frames of its own, further in."""
_WAITING = re.compile(rf"/torch/({'|'.join(_MODULES)})$")
_PASSED = "/torch/_ops.py"
"""Carries any operator, waiting or not: who called it tells."""
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x[0-9a-f]+.*$", re.MULTILINE)
_FILE = re.compile(r'^  File "([^"]+)"', re.MULTILINE)


def is_waiting(file: str) -> bool:
    """Whether code of this file, with nothing further in, waits for other ranks."""
    return _WAITING.search(file) is not None


def is_passed(file: str) -> bool:
    """Whether the frame around it is to be asked instead."""
    return file.endswith(_PASSED)


def stands_in_collective(stacks: str) -> bool:
    """Whether the main thread waits for others, by what faulthandler wrote: the innermost frame first, the main
    thread last."""
    threads = _THREAD.split(stacks)
    files = [file for file in _FILE.findall(threads[-1]) if not is_passed(file)] if len(threads) > 1 else []
    return bool(files) and is_waiting(files[0])
