"""`make soak`: ten thousand steps with a save every ten; memory must stay flat, and the store as retention says.

Memory is what a process holds of its own pages and of memory files, by the kernel's count, of each kind of process
(pages that a fork shares are counted on both sides, so copying one on a write changes nothing); its growth is the
slope of a line through all that was seen after the first fifth of the run, when buffers are made.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report import report

from integration.runtime.conftest import LocalRun, tiny_job
from ultrathink_store import JobStore, layout, open_job
from ultrathink_store.retention import YOUNGEST
from ultrathink_trainer.runtime import processes
from ultrathink_trainer.supervisor.storekeeper import SWEEP_SECONDS

STEPS, EVERY, RANKS, KEEP = 10_000, 10, 2, 5
LOOK_STEPS = 50
WARM_SHARE = 0.2
MOST_GROWTH = 1 << 20
"""Bytes in a thousand steps: below what an allocator shifts about, far below what a leak of one record a step makes."""
KINDS = {
    "supervisor": "ultrathink_trainer.supervisor",
    "agent": "ultrathink_trainer.agent",
    "zygote": "ultrathink_trainer.zygote",
}

Samples = dict[str, list[tuple[int, int]]]
"""Kind of process -> (step, bytes) of the largest of its kind."""


def the_job(steps: int) -> dict[str, Any]:
    return tiny_job(
        workers=RANKS,
        steps=steps,
        model={"preset": "dense-tiny", "layers": 1, "hidden": 32, "heads": 2, "kvHeads": 2, "headDim": 16},
        training={"steps": steps, "globalBatchTokens": 64, "validation": {"everySteps": steps}},
        checkpoint={"every": {"steps": EVERY}, "keep": {"last": KEEP}, "copies": {"every": 1}},
    )


def kinds_below(pid: int) -> Iterator[tuple[str, int]]:
    """The processes of a run; a rank is what a zygote forked."""
    below = processes.descendants(pid)
    commands = {child: _read(child, "cmdline").replace("\0", " ") for child in below}
    parents = {child: _parent(child) for child in below}
    for child, command in commands.items():
        for kind, module in KINDS.items():
            if f"-m {module} " in f"{command} ":
                forked = kind == "zygote" and KINDS["zygote"] in commands.get(parents[child], "")
                yield ("rank" if forked else kind), child


def held_bytes(pid: int) -> int:
    """Anonymous pages and those of memory files; 0 when it is gone."""
    lines = _read(pid, "status").splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon", "RssShmem")))


def _parent(pid: int) -> int:
    stat = _read(pid, "stat").rpartition(")")[2].split()
    return int(stat[1]) if stat else 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def slope(samples: Sequence[tuple[int, int]]) -> float:
    """Bytes in a thousand steps, of the line that lies best through them."""
    steps, sizes = zip(*samples, strict=True)
    return 1000 * statistics.linear_regression(steps, sizes).slope


def look(pid: int, step: int, samples: Samples) -> None:
    largest: dict[str, int] = defaultdict(int)
    for kind, child in kinds_below(pid):
        largest[kind] = max(largest[kind], held_bytes(child))
    for kind, size in largest.items():
        samples[kind].append((step, size))


def soaked(folder: Path, steps: int) -> tuple[Samples, dict[str, Any], JobStore]:
    """Run it; what was seen, its summary, and its folder in the store."""
    run = LocalRun(folder, bare=True, job=the_job(steps))
    samples: Samples = defaultdict(list)
    uid, summary = "", {}
    assert run.process.stdout is not None, "its stdout is our pipe"
    try:
        for line in run.process.stdout:
            event = json.loads(line)
            if event["event"] == "run":
                uid = event["uid"]
            elif event["event"] == "step" and event["step"] % LOOK_STEPS == 0 and event["step"] > WARM_SHARE * steps:
                look(run.process.pid, event["step"], samples)
            elif event["event"] == "summary":
                summary = event
    finally:
        log = run.log
        run.close()
    assert summary.get("phase") == "Succeeded", log
    return samples, summary, open_job(f"file://{folder}/runs", None, "tiny", uid)


def store_as_kept(store: JobStore, ended_at: float) -> dict[str, Any]:
    """What is there, and what retention should have taken: old when the last sweep can have begun, and not kept."""
    committed: dict[int, float] = {}
    files = 0
    for entry in store.store.list():
        files += 1
        if entry.key.endswith(layout.MANIFEST):
            committed[int(entry.key.split("/")[-2].removeprefix("step-"))] = entry.modified.timestamp()
    kept = sorted(committed)[-KEEP:]
    # A sweep comes with a save, at most a minute after the last one; a busy machine gets as much again.
    old = ended_at - YOUNGEST.total_seconds() - 2 * SWEEP_SECONDS
    late = [step for step, written in committed.items() if written < old and step not in kept]
    return {"checkpoints": len(committed), "objects": files, "overdue": len(late), "newest": max(committed)}


def main() -> int:
    """0 if nothing grew and nothing stayed that should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="utks-") as folder:
        began = time.time()
        samples, summary, store = soaked(Path(folder), options.steps)
        kept = store_as_kept(store, time.time())
        seconds = time.time() - began
    growth = {kind: round(slope(seen)) for kind, seen in sorted(samples.items())}
    sizes = {kind: round(statistics.median(size for _, size in seen)) for kind, seen in sorted(samples.items())}
    flat = all(rate <= MOST_GROWTH for rate in growth.values()) and {"supervisor", "agent", "rank"} <= set(growth)
    row = (
        f"| {options.steps} steps, a save every {EVERY} | {told(growth, sizes)} | {kept['checkpoints']} checkpoints, "
        f"{kept['overdue']} of them overdue | {seconds:.0f} s |"
    )
    return report(
        "soak",
        row,
        {
            "ratio": round(max(growth.values()) / MOST_GROWTH, 3),
            "goal": 1.0,
            "ok": flat and kept["overdue"] == 0 and summary["step"] == options.steps,
            "steps": summary["step"],
            "attempts": summary["attempts"],
            "bytesPerThousandSteps": growth,
            "medianBytes": sizes,
            "store": kept,
            "seconds": round(seconds, 1),
            "samples": {kind: seen[:: max(1, len(seen) // 40)] for kind, seen in samples.items()},
        },
    )


def told(growth: Mapping[str, float], sizes: Mapping[str, int]) -> str:
    return ", ".join(
        f"{kind} {sizes[kind] / 1e6:.0f} MB {rate / 1e3:+.0f} kB/1000 steps" for kind, rate in growth.items()
    )


if __name__ == "__main__":
    sys.exit(main())
