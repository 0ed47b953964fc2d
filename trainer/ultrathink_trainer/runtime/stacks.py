"""Where ranks stand: their stacks, taken from outside, and which of them the others wait for."""

import faulthandler
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .waits import stands_in_collective

ANSWER_SECONDS = 2.0
"""Within so long a process that runs at all writes its own stacks."""
SPY_SECONDS = 10.0
MOST_CHARACTERS = 12_000
"""Of one rank's stacks: some forty frames in each of some threads."""
STOPPED = frozenset("Tt")


def file_of(directory: str, epoch: int, rank: int) -> Path:
    """Where a rank writes its stacks when it is asked."""
    return Path(directory) / "stacks" / f"epoch-{epoch}-rank-{rank}.txt"


def answer_with_stacks(directory: str, epoch: int, rank: int) -> None:
    """Let SIGUSR1 make this process write the stacks of all its threads; works also inside a collective."""
    path = file_of(directory, epoch, rank)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    faulthandler.register(signal.SIGUSR1, file=path.open("a"), all_threads=True)  # who empties it asks anew


def take(directory: str, epoch: int, pids: Mapping[int, int]) -> dict[str, dict[str, Any]]:
    """Rank -> its state and stacks. What does not answer is looked at from outside."""
    states = {rank: state_of(pid) for rank, pid in pids.items()}
    for rank, pid in pids.items():
        if states[rank] not in STOPPED:
            signal_softly(pid)
    until = time.monotonic() + ANSWER_SECONDS
    taken = {}
    for rank, pid in pids.items():
        said = ""
        while states[rank] not in STOPPED and not said and time.monotonic() < until:
            said = _read(file_of(directory, epoch, rank))
            if not said:
                time.sleep(0.05)
        stack = said or spy(pid)
        taken[str(rank)] = {"state": states[rank], "stack": stack[:MOST_CHARACTERS]}
    return taken


def signal_softly(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return  # it ended meanwhile; its exit is told by its zygote


def state_of(pid: int) -> str:
    """The kernel's letter: R, S, D, T, Z; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def spy(pid: int) -> str:
    """The stacks of a process that cannot answer, by py-spy where it is installed."""
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        return "no answer, and py-spy is not installed"
    try:
        told = subprocess.run(
            [found, "dump", "--nonblocking", "--pid", str(pid)],
            capture_output=True,
            text=True,
            timeout=SPY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer, and py-spy found none within {SPY_SECONDS:.0f} s"
    return told.stdout or f"no answer; py-spy: {told.stderr.strip()}"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def blame(ranks: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The rank that the others wait for: the one that is stopped, else the only one that waits for nobody."""
    stopped = [rank for rank, seen in ranks.items() if seen["state"] in STOPPED]
    if len(stopped) == 1:
        return int(stopped[0])
    apart = [rank for rank, seen in ranks.items() if not stands_in_collective(seen["stack"])]
    return int(apart[0]) if len(apart) == 1 else None
