"""Kill a rank, wait for the next step: ours, and stock Ray Train with the very same training loop, in one run."""

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
GOAL_SECONDS = 5.0
"""From disk; spec/trainer.md."""
STOCK_SECONDS = 600.0
RAY_CPUS = 4


def the_job() -> UltraThinkJob:
    """A small Mixture-of-Experts model over four ranks, with a checkpoint every ten steps."""
    return UltraThinkJob.parse(
        {
            "metadata": {"name": "recovery"},
            "spec": {
                "model": {"preset": "moe-tiny"},
                "data": {"uri": "builtin://stories"},
                "training": {"steps": STEPS},
                "workers": {"count": RANKS},
                "checkpoint": {"every": {"steps": SAVE_EVERY}},
            },
        }
    )


class Stopwatch:
    """Kills the victim once, after a step, and stops at the first step that is made again."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._killed_at: float | None = None

    def step(self, step: int, victim: int | None, now: float) -> None:
        """A step was told; `victim` is the process to kill."""
        if self._killed_at is None and step >= KILL_AFTER:
            assert victim is not None, "there is a rank to kill"
            os.kill(victim, signal.SIGKILL)
            self._killed_at = now

    def again(self, now: float) -> None:
        """The first step of the next attempt was told."""
        if self.seconds is None and self._killed_at is not None:
            self.seconds = now - self._killed_at


def ours(job: UltraThinkJob, folder: Path) -> float:
    """Seconds from the kill to the next step, under our supervisor, agent and zygote."""
    watch = Stopwatch()

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            if event["attempt"] == 1:
                watch.step(event["step"], _forked_rank(), time.monotonic())
            else:
                watch.again(time.monotonic())

    with (folder / "ours.log").open("wb") as log:
        summary = run_local(job, plan(job.spec), checkpoint_uri=f"file://{folder}/ours", on_event=heard, log=log)
    if summary["phase"] != "Succeeded" or watch.seconds is None:
        raise RuntimeError(f"our run ended with {summary}: {folder / 'ours.log'}")
    return watch.seconds


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


def stock(folder: Path) -> float:
    """The same under stock Ray Train: TorchTrainer, gloo, one actor a rank, FailureConfig."""
    events = folder / "stock.jsonl"
    events.touch()
    with (folder / "stock.log").open("wb") as log:
        command = [sys.executable, "-m", "bench.recovery", "--stock", str(folder)]
        keeper = processes.spawn(
            processes.python("ultrathink_trainer.runtime.keeper", "1", *command), stdout=log, stderr=log
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
        raise RuntimeError(f"stock Ray Train made no second attempt: {folder / 'stock.log'}")
    return watch.seconds


def stock_driver(folder: Path) -> None:
    """What the stock side's own process runs."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(num_cpus=RAY_CPUS, _temp_dir=str(folder / "r"), log_to_driver=True)
    shape = plan(the_job().spec).model_dump(mode="json", by_alias=True)
    TorchTrainer(
        stock_rank,
        train_loop_config={"plan": shape, "folder": str(folder), "uid": str(uuid.uuid4())},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=RANKS, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(storage_path=str(folder / "t"), failure_config=FailureConfig(max_failures=3)),
    ).fit()


def stock_rank(config: dict[str, Any]) -> None:
    """One actor's training function: our loop and our checkpoints, in a process group that Ray Train has made."""
    import torch
    import torch.distributed as dist

    from ultrathink_store import Start, open_job
    from ultrathink_store.job import utc_now
    from ultrathink_trainer.run import open_run
    from ultrathink_trainer.train import train

    torch.set_num_threads(1)
    store = open_job(f"file://{config['folder']}/stock", None, "recovery", config["uid"])
    number = torch.zeros(1, dtype=torch.int64)
    if dist.get_rank() == 0:
        claim = store.claim("none")
        number[0] = claim.epoch
        store.take_epoch(claim.epoch, Start(epoch=claim.epoch, parent=claim.parent, created_at=utc_now()))
    dist.broadcast(number, 0)
    attempt = int(number)

    def tell(record: dict[str, Any]) -> None:
        with Path(config["folder"], "stock.jsonl").open("a") as out:
            out.write(json.dumps({**record, "attempt": attempt}) + "\n")

    tell({"event": "rank", "rank": dist.get_rank(), "pid": os.getpid()})
    train(open_run(Plan.model_validate(config["plan"]), store, attempt, emit=tell, clock=time.monotonic))


def main() -> int:
    """Pairs, interleaved; the median of each side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--stock", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if options.stock is not None:
        stock_driver(options.stock)
        return 0
    pairs = []
    for number in range(1, options.pairs + 1):
        folder = Path(tempfile.mkdtemp(prefix="utkb-"))
        pair = {"ours": round(ours(the_job(), folder), 3), "stock": round(stock(folder), 3)}
        print(f"pair {number}: ours {pair['ours']} s, stock {pair['stock']} s", file=sys.stderr, flush=True)
        pairs.append(pair)
        shutil.rmtree(folder)
    mine = statistics.median(pair["ours"] for pair in pairs)
    theirs = statistics.median(pair["stock"] for pair in pairs)
    ratio = statistics.median(pair["stock"] / pair["ours"] for pair in pairs)
    return report(
        "recovery",
        f"| kill of a rank -> next step, {RANKS} ranks, from disk | ours {mine:.2f} s | stock Ray Train {theirs:.2f} s "
        f"| {ratio:.1f}x | goal <= {GOAL_SECONDS:.0f} s |",
        {
            "ratio": round(ratio, 2),
            "goal": GOAL_SECONDS,
            "ok": mine <= GOAL_SECONDS,
            "seconds": mine,
            "stockSeconds": theirs,
            "pairs": pairs,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
