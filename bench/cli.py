"""How long `utk --help` takes over a bare interpreter: python -m bench.cli."""

import os
import statistics
import subprocess
import sys
import time
from typing import Any

from bench.report import report

NAME = "cli"
PAIRS = 15
GOAL_SECONDS = 0.150
"""Over a bare interpreter; above it a command is felt to wait."""

BARE = [sys.executable, "-c", "pass"]
HELP = [sys.executable, "-c", "from utk.main import main; main()", "--help"]


def took(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process; CPU time is what a busy machine does not stretch."""
    before = os.times()
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - began
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Bare and help by turns, so that both see the same machine."""
    for command in (BARE, HELP):
        took(command)  # the first reads files that later ones find in memory
    rows = []
    for _ in range(pairs):
        (bare, bare_cpu), (help_, help_cpu) = took(BARE), took(HELP)
        rows.append({"bare": bare, "help": help_, "bareCpu": bare_cpu, "helpCpu": help_cpu})
    over = statistics.median(row["help"] - row["bare"] for row in rows)
    cpu = statistics.median(row["helpCpu"] - row["bareCpu"] for row in rows)
    return {
        "seconds": round(over, 4),
        "cpuSeconds": round(cpu, 4),
        "ratio": round(over / GOAL_SECONDS, 3),
        "goal": 1.0,
        "ok": over <= GOAL_SECONDS,
        "pairs": [{key: round(value, 4) for key, value in row.items()} for row in rows],
    }


def main() -> int:
    """0 if the goal was met."""
    result = measure()
    row = (
        f"| utk --help over a bare interpreter | {1000 * result['seconds']:.0f} ms "
        f"(CPU {1000 * result['cpuSeconds']:.0f} ms) | goal {1000 * GOAL_SECONDS:.0f} ms | "
        f"{'ok' if result['ok'] else 'missed'} |"
    )
    return report(NAME, row, result)


if __name__ == "__main__":
    sys.exit(main())
