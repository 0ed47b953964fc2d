"""What saving costs a training: our stall beside DCP's async_save, and copies in memory: python -m bench.checkpoint.

The stall is the extra wall time of the steps from the save to its commit, against the median step without; it is told
as a share of the time that the same engine takes to save while training waits.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bench.report import report

from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, plan
from ultrathink_trainer.agent.memory import Memory
from ultrathink_trainer.checkpoint.interval import History, interval

NAME = "checkpoint"
ROUNDS = 5
QUIET = 4
"""Steps without a save, before and after each: their median is what a step takes."""
COPIED = 4
"""Steps with a copy each, in a round."""
MOST_STEPS = 100
"""Within so many steps every save is committed."""
STALL_GOAL, AMORTISED_GOAL, COPIES_GOAL = 0.03, 0.01, 0.05
"""spec: of a synchronous save; of a step at the interval of `every.auto`; of a step with a copy at every one."""
FULL_INTERVAL = 600.0
"""Of a job that says nothing: `auto` never waits longer than the spec allows."""
UID = "bench"


def the_spec() -> JobSpec:
    """A dense model with some 380 MB of parameters and moments, and a short step: the hard case for saving."""
    return JobSpec.model_validate(
        {
            "model": {
                "preset": "dense-tiny",
                "layers": 8,
                "hidden": 512,
                "heads": 8,
                "kvHeads": 8,
                "headDim": 64,
                "intermediate": 1536,
                "vocabulary": 8192,
            },
            "data": {"uri": "builtin://stories"},
            "training": {"steps": 1_000_000, "globalBatchTokens": 256},
            "workers": {"count": 1},
        }
    )


class Saver(Protocol):
    """One way to save."""

    def begin(self, step: int) -> None: ...
    def settle(self) -> None: ...
    def done(self) -> bool: ...
    def wait(self) -> None: ...


class Training:
    """Steps of a real model by the trainer's engine, without saving, so that each way of saving meets the same."""

    def __init__(self, shape: Plan) -> None:
        from bench.small_run import begin

        self.plan = shape
        self.engine, self._loader, self.cursor = begin(shape)
        self.step = 0
        self.bytes = sum(tensor.numel() * tensor.element_size() for tensor in self.engine.tensors().values())

    def one(self, settle: Callable[[], None] = lambda: None) -> float:
        """A step; its seconds. What `settle` waits for is part of it, as in the loop."""
        began = time.perf_counter()
        rows, self.cursor = self._loader.next(self.cursor)
        measured = self.engine.forward_backward(rows)
        settle()
        self.engine.update(1e-4, measured.grad_norm)
        self.engine.clear()
        self.step += 1
        return time.perf_counter() - began

    def several(self, count: int) -> list[float]:
        return [self.one() for _ in range(count)]


class Ours:
    """The trainer's own engine, to a folder."""

    def __init__(self, training: Training, folder: Path) -> None:
        from ultrathink_store import Start, open_job
        from ultrathink_store.job import utc_now
        from ultrathink_trainer.checkpoint.checkpoints import Checkpoints

        store = open_job(f"file://{folder}", None, NAME, UID)
        claim = store.claim("none")
        store.take_epoch(claim.epoch, Start(epoch=claim.epoch, parent=None, created_at=utc_now()))
        self._training, self._folder = training, folder
        self.checkpoints = Checkpoints(store, claim.epoch, training.plan, now=utc_now, clock=time.perf_counter)

    def progress(self) -> Any:
        from ultrathink_trainer.checkpoint.progress import Progress

        training = self._training
        return Progress(training.step, training.step, training.step, training.cursor)

    def begin(self, step: int) -> None:
        self.checkpoints.save(self._training.engine.tensors(), self.progress())

    def settle(self) -> None:
        self.checkpoints.settle()

    def done(self) -> bool:
        return not self.checkpoints.busy

    def wait(self) -> None:
        from ultrathink_trainer.checkpoint.checkpoints import Saved

        result = self.checkpoints.result(wait=True)
        assert isinstance(result, Saved), f"the save came to nothing: {result}"
        for shard in self._folder.rglob("*.safetensors"):
            shard.unlink()


class Theirs:
    """torch.distributed.checkpoint as it comes: async_save with its own staging, thread and files; or save."""

    def __init__(self, training: Training, folder: Path, *, at_once: bool = False) -> None:
        import torch.distributed.checkpoint as dcp

        self._training, self._folder = training, folder
        self._save: Callable[..., Any] = dcp.save if at_once else dcp.async_save
        self._future: Any = None

    def begin(self, step: int) -> None:
        self._future = self._save(self._training.engine.tensors(), checkpoint_id=self._folder / str(step))

    def settle(self) -> None:
        """Its copy is made before it returns."""

    def done(self) -> bool:
        return bool(self._future.done()) if hasattr(self._future, "done") else True

    def wait(self) -> None:
        if hasattr(self._future, "result"):
            self._future.result()
        shutil.rmtree(self._folder)


def stall_of(training: Training, saver: Saver) -> dict[str, float]:
    """Extra seconds from the save to its commit, and what a step takes without."""
    quiet = training.several(QUIET)
    began = time.perf_counter()
    saver.begin(training.step)
    call = time.perf_counter() - began
    during = []
    while not saver.done():
        assert len(during) < MOST_STEPS, "the save does not end"
        during.append(training.one(saver.settle))
    saver.wait()
    step = statistics.median(quiet + training.several(QUIET))
    return {"seconds": call + sum(during) - len(during) * step, "call": call, "steps": len(during), "step": step}


def at_once(training: Training, saver: Saver) -> float:
    """Seconds of a save for which training waits."""
    training.one()
    began = time.perf_counter()
    saver.begin(training.step)
    while not saver.done():
        time.sleep(0.001)
    took = time.perf_counter() - began
    saver.settle()
    saver.wait()
    return took


def copying(training: Training, ours: Ours) -> float:
    """Share of a step that a copy at every one takes; plain steps and copied ones by turns."""
    plain, copied = [], []
    for _ in range(COPIED):
        plain.append(training.one())
        began = time.perf_counter()
        training.one()
        assert ours.checkpoints.copy(training.engine.tensors(), ours.progress()), "there is room for copies"
        copied.append(time.perf_counter() - began)
    return statistics.median(copied) / statistics.median(plain) - 1


def measure(rounds: int) -> dict[str, Any]:
    """All ways by turns, so that each meets the same machine; medians."""
    import torch
    import torch.distributed as dist

    from ultrathink_trainer.checkpoint.copies import Copies
    from ultrathink_trainer.runtime import heap

    torch.set_num_threads(1)
    heap.keep()
    folder = Path(tempfile.mkdtemp(prefix="utkb-"))
    try:
        dist.init_process_group("gloo", store=dist.FileStore(str(folder / "meeting"), 1), rank=0, world_size=1)
        training = Training(plan(the_spec()))
        ours, theirs = Ours(training, folder / "ours"), Theirs(training, folder / "theirs")
        theirs_at_once = Theirs(training, folder / "theirs", at_once=True)
        memory = Memory(1)
        ours.checkpoints.copies = Copies(memory.of(0), every=1, run=NAME, rank=0)
        training.several(QUIET)
        for warm in (ours, theirs):  # buffers are made, files and modules were touched
            stall_of(training, warm)
        copying(training, ours)
        found = [one_round(training, ours, theirs, theirs_at_once) for _ in range(rounds)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return summed_up(found, training.bytes)


def one_round(training: Training, ours: Ours, theirs: Theirs, theirs_at_once: Theirs) -> dict[str, Any]:
    """A pair of each kind."""
    made = {
        "ours": rounded(stall_of(training, ours)),
        "dcp": rounded(stall_of(training, theirs)),
        "oursSync": round(at_once(training, ours), 4),
        "dcpSync": round(at_once(training, theirs_at_once), 4),
        "copies": round(copying(training, ours), 4),
    }
    print(json.dumps(made), file=sys.stderr, flush=True)
    return made


def rounded(times: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in times.items()}


def summed_up(found: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """Medians, shares and goals."""

    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(of(made) for made in found)

    stall, theirs = median(lambda made: made["ours"]["seconds"]), median(lambda made: made["dcp"]["seconds"])
    sync, their_sync = median(lambda made: made["oursSync"]), median(lambda made: made["dcpSync"])
    every = interval(max(stall, 0.0), History(), nodes=1, running=0.0, most=FULL_INTERVAL)
    share, amortised, copies = stall / sync, max(stall, 0.0) / every, median(lambda made: made["copies"])
    return {
        "ratio": round(share, 4),
        "goal": STALL_GOAL,
        "ok": share <= STALL_GOAL and amortised <= AMORTISED_GOAL and copies <= COPIES_GOAL,
        "megabytes": round(size / 1e6, 1),
        "stallSeconds": round(stall, 4),
        "syncSeconds": round(sync, 4),
        "dcpStallSeconds": round(theirs, 4),
        "dcpSyncSeconds": round(their_sync, 4),
        "dcpRatio": round(theirs / their_sync, 4),
        "amortised": round(amortised, 5),
        "intervalSeconds": round(every, 1),
        "copies": round(copies, 4),
        "pairs": found,
    }


def main() -> int:
    """0 if all three goals were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    result = measure(options.rounds)
    row = (
        f"| stall of a save of {result['megabytes']:.0f} MB / synchronous save "
        f"| ours {100 * result['ratio']:.1f} % ({result['stallSeconds']:.3f} s of {result['syncSeconds']:.2f} s) "
        f"| DCP async_save {100 * result['dcpRatio']:.1f} % ({result['dcpStallSeconds']:.3f} s of "
        f"{result['dcpSyncSeconds']:.2f} s) | goal {100 * STALL_GOAL:.0f} % "
        f"| amortised at auto {100 * result['amortised']:.3f} %, goal {100 * AMORTISED_GOAL:.0f} % "
        f"| a copy each step {100 * result['copies']:.1f} %, goal {100 * COPIES_GOAL:.0f} % |"
    )
    return report(NAME, row, result)


if __name__ == "__main__":
    sys.exit(main())
