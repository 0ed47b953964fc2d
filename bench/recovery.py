"""Kill a rank, wait for the next step: ours, from memory and from disk, beside stock Ray Train and stock torchrun.

All four train the same model by the same loop and the same checkpoints; only who starts the ranks again differs.
`python -m bench.recovery`; no Kubernetes in it.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from bench.report import report

from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import Plan, plan
from ultrathink_trainer.local import run_local
from ultrathink_trainer.runtime import processes

RANKS = 4
STEPS = 60
SAVE_EVERY = 10
KILL_AFTER = 25
"""Past a checkpoint and before the next: steps are lost and restored, as in life."""
VICTIM = 1
DISK_GOAL_SECONDS, MEMORY_GOAL_SECONDS = 5.0, 2.0
IN_FLIGHT = 1
"""Steps that a kill may cost where memory survives: the one that was being made."""
STOCK_SECONDS = 600.0
RAY_CPUS = 4
RESTARTS = 3
EVENTS = "stock.jsonl"


def the_job(*, copies: bool = False) -> UltraThinkJob:
    """A small Mixture-of-Experts model over four ranks, with a checkpoint every ten steps, and a copy each step."""
    return UltraThinkJob.parse(
        {
            "metadata": {"name": "recovery"},
            "spec": {
                "model": {"preset": "moe-tiny"},
                "data": {"uri": "builtin://stories"},
                "training": {"steps": STEPS},
                "workers": {"count": RANKS},
                "checkpoint": {"every": {"steps": SAVE_EVERY}, **({"copies": {"every": 1}} if copies else {})},
            },
        }
    )


class Stopwatch:
    """Kills the victim once, after a step, and stops at the first step that is made again."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.done = 0
        """Steps that were told before the kill."""
        self._killed_at: float | None = None

    def step(self, step: int, victim: int | None, now: float) -> None:
        """A step was told; `victim` is the process to kill."""
        if self._killed_at is None and step >= KILL_AFTER:
            assert victim is not None, "there is a rank to kill"
            os.kill(victim, signal.SIGKILL)
            self._killed_at = now
        self.done = max(self.done, step)

    def again(self, now: float) -> None:
        """The first step of the next attempt was told."""
        if self.seconds is None and self._killed_at is not None:
            self.seconds = now - self._killed_at


def ours(job: UltraThinkJob, folder: Path) -> dict[str, Any]:
    """From the kill to the next step, under our supervisor, agent and zygote: seconds, stages, steps made again."""
    watch = Stopwatch()
    told: dict[str, Any] = {}

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "attempt" and event["attempt"] == 2:
            told.update(event)
        elif event["event"] == "step":
            if event["attempt"] == 1:
                watch.step(event["step"], _forked_rank(), time.monotonic())
            else:
                watch.again(time.monotonic())

    folder.mkdir()
    with (folder / "ours.log").open("wb") as log:
        summary = run_local(job, plan(job.spec), checkpoint_uri=f"file://{folder}", on_event=heard, log=log)
    if summary["phase"] != "Succeeded" or watch.seconds is None:
        raise RuntimeError(f"our run ended with {summary}: {folder / 'ours.log'}")
    stages = told["recoveryStages"]
    # What the supervisor cannot know: how long it took until it knew.
    split = {"detect": max(0.0, watch.seconds - sum(stages.values())), **stages}
    return {
        "seconds": round(watch.seconds, 3),
        "lostSteps": watch.done - told["resumedFrom"],
        "stages": {stage: round(seconds, 3) for stage, seconds in split.items()},
    }


def _forked_rank() -> int:
    """A rank is a process below us whose parent runs the same command line: the zygote's child."""
    commands = {pid: _command(pid) for pid in processes.descendants(os.getpid())}
    zygotes = [pid for pid, command in commands.items() if "ultrathink_trainer.zygote" in command]
    ranks = [pid for pid in zygotes if any(pid in processes.descendants(other) for other in zygotes)]
    return sorted(ranks)[VICTIM]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def stock(kind: str, folder: Path) -> float:
    """The same under a stock launcher, from its kill to its next step."""
    folder.mkdir()
    events = folder / EVENTS
    events.touch()
    with (folder / "stock.log").open("wb") as log:
        keeper = processes.spawn(
            processes.python("ultrathink_trainer.runtime.keeper", "1", *LAUNCHERS[kind](folder)),
            stdout=log,
            stderr=log,
        )
        watch = Stopwatch()
        deadline = time.monotonic() + STOCK_SECONDS
        pids: dict[int, int] = {}
        with events.open() as lines:
            while watch.seconds is None and keeper.poll() is None and time.monotonic() < deadline:
                line = lines.readline()
                if not line:
                    time.sleep(0.005)
                    continue
                event = json.loads(line)
                if event["event"] == "rank" and event["attempt"] == 1:
                    pids[event["rank"]] = event["pid"]
                elif event["event"] == "step" and event["attempt"] == 1:
                    watch.step(event["step"], pids.get(VICTIM), time.monotonic())
                elif event["event"] == "step":
                    watch.again(time.monotonic())
        processes.end(keeper, 5.0)
    if watch.seconds is None:
        raise RuntimeError(f"stock {kind} made no second attempt: {folder / 'stock.log'}")
    return round(watch.seconds, 3)


def _ray_train(folder: Path) -> list[str]:
    """TorchTrainer: gloo, one actor a rank, FailureConfig."""
    return [sys.executable, "-m", "bench.recovery", "--stock", str(folder)]


def _torchrun(folder: Path) -> list[str]:
    """Elastic: --max-restarts, one node."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
    return [*launch, "--max-restarts", str(RESTARTS), "-m", "bench.recovery", "--member", str(folder)]


LAUNCHERS = {"rayTrain": _ray_train, "torchrun": _torchrun}


def torchrun_rank(folder: Path) -> None:
    """What each of torchrun's processes runs."""
    import torch.distributed as dist

    dist.init_process_group("gloo")
    stock_rank(_stock_config(folder))
    dist.destroy_process_group()


def _stock_config(folder: Path) -> dict[str, Any]:
    shape = plan(the_job().spec).model_dump(mode="json", by_alias=True)
    return {"plan": shape, "folder": str(folder), "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, str(folder)))}


def stock_driver(folder: Path) -> None:
    """What the stock side's own process runs."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(num_cpus=RAY_CPUS, _temp_dir=str(folder / "r"), log_to_driver=True)
    TorchTrainer(
        stock_rank,
        train_loop_config=_stock_config(folder),
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=RANKS, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(storage_path=str(folder / "t"), failure_config=FailureConfig(max_failures=RESTARTS)),
    ).fit()


def stock_rank(config: dict[str, Any]) -> None:
    """One process' training function: our loop and our checkpoints, in a process group that its launcher has made."""
    import torch
    import torch.distributed as dist

    from ultrathink_store import Start, open_job
    from ultrathink_store.job import utc_now
    from ultrathink_trainer.run import open_run
    from ultrathink_trainer.train import train

    torch.set_num_threads(1)
    store = open_job(f"file://{config['folder']}/store", None, "recovery", config["uid"])
    number = torch.zeros(1, dtype=torch.int64)
    if dist.get_rank() == 0:
        claim = store.claim("none")
        number[0] = claim.epoch
        store.take_epoch(claim.epoch, Start(epoch=claim.epoch, parent=claim.parent, created_at=utc_now()))
    dist.broadcast(number, 0)
    attempt = int(number)

    def tell(record: dict[str, Any]) -> None:
        with Path(config["folder"], EVENTS).open("a") as out:
            out.write(json.dumps({**record, "attempt": attempt}) + "\n")

    tell({"event": "rank", "rank": dist.get_rank(), "pid": os.getpid()})
    train(open_run(Plan.model_validate(config["plan"]), store, attempt, emit=tell, clock=time.monotonic))


def one_pair(folder: Path) -> dict[str, Any]:
    """All four, one after the other."""
    pair: dict[str, Any] = {
        "memory": ours(the_job(copies=True), folder / "memory"),
        "disk": ours(the_job(), folder / "disk"),
        **{kind: stock(kind, folder / kind) for kind in LAUNCHERS},
    }
    print(json.dumps(pair), file=sys.stderr, flush=True)
    return pair


def summed_up(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians; the ratio is that of the better stock launcher to ours from disk."""

    def seconds(way: str) -> float:
        return statistics.median(pair[way]["seconds"] for pair in pairs)

    def stages(way: str) -> dict[str, float]:
        return {
            stage: round(statistics.median(pair[way]["stages"][stage] for pair in pairs), 3)
            for stage in pairs[0][way]["stages"]
        }

    lost = max(pair["memory"]["lostSteps"] for pair in pairs)
    memory, disk = seconds("memory"), seconds("disk")
    return {
        "ratio": round(
            statistics.median(min(pair[kind] for kind in LAUNCHERS) / pair["disk"]["seconds"] for pair in pairs), 2
        ),
        "goal": DISK_GOAL_SECONDS,
        "memoryGoal": MEMORY_GOAL_SECONDS,
        "ok": disk <= DISK_GOAL_SECONDS and memory <= MEMORY_GOAL_SECONDS and lost <= IN_FLIGHT,
        "memorySeconds": memory,
        "memoryLostSteps": lost,
        "memoryStages": stages("memory"),
        "seconds": disk,
        "stages": stages("disk"),
        **{f"{kind}Seconds": statistics.median(pair[kind] for pair in pairs) for kind in LAUNCHERS},
        "pairs": pairs,
    }


def main() -> int:
    """Pairs, interleaved; the median of each side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--stock", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--member", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Else the ranks of torchrun's second attempt read the addresses of the first one's, and never meet.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    if options.stock is not None:
        stock_driver(options.stock)
        return 0
    if options.member is not None:
        torchrun_rank(options.member)
        return 0
    pairs = []
    for _ in range(options.pairs):
        folder = Path(tempfile.mkdtemp(prefix="utkb-"))
        pairs.append(one_pair(folder))
        shutil.rmtree(folder)
    result = summed_up(pairs)
    said = " + ".join(f"{stage} {seconds:.2f}" for stage, seconds in result["memoryStages"].items())
    return report(
        "recovery",
        f"| kill of a rank -> next step, {RANKS} ranks | from memory {result['memorySeconds']:.2f} s ({said}), "
        f"{result['memoryLostSteps']} steps made again, goal <= {MEMORY_GOAL_SECONDS:.0f} s "
        f"| from disk {result['seconds']:.2f} s, goal <= {DISK_GOAL_SECONDS:.0f} s "
        f"| stock Ray Train {result['rayTrainSeconds']:.1f} s | stock torchrun {result['torchrunSeconds']:.1f} s |",
        result,
    )


if __name__ == "__main__":
    sys.exit(main())
