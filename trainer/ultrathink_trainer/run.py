"""A run: all that the training loop needs from outside, and the word by which its ranks agree."""

import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist

from ultrathink_planner import Plan
from ultrathink_store import CheckpointRef, JobStore
from ultrathink_store.job import utc_now

from .checkpoint.checkpoints import Checkpoints, Failed, Saved
from .checkpoint.copies import Copies
from .data.source import default_access
from .data.tokens import Access
from .model.balance import Load
from .parallel.engine import Measured
from .parallel.mesh import World, build_world

Record = dict[str, Any]


@dataclass(frozen=True)
class Finish:
    """How the loop ended."""

    kind: Literal["completed", "stopped"]
    step: int


@dataclass
class Control:
    """What this process was asked for, by a signal or by its agent; set from any thread, read once a step."""

    stop: bool = False
    save: bool = False


BLOWS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP}
"""What a rank does to itself at the start of a step when it is asked to: it is gone, or it stands still."""


class Injected(Protocol):
    """A fault to inject into `rank` at `step`."""

    @property
    def kind(self) -> str: ...
    @property
    def rank(self) -> int | None: ...
    @property
    def step(self) -> int: ...


@dataclass(frozen=True)
class Word:
    """What all ranks agreed on in a step: true if it is true for any of them; `load` is the worst of all stages, and
    `waited` the longest that one of them waited for its rows, in seconds."""

    stop: bool
    save: bool
    busy: bool
    skip: bool
    load: Load | None
    waited: float


@dataclass
class Run:
    """One rank's side of an attempt."""

    plan: Plan
    world: World
    checkpoints: Checkpoints
    emit: Callable[[Record], None]
    """Takes the records of this rank; only rank 0 has any but faults."""
    clock: Callable[[], float]
    control: Control = field(default_factory=Control)
    chaos: Sequence[Injected] = ()
    access: Access = field(default_factory=default_access)
    parent: CheckpointRef | None = None
    """The checkpoint that this attempt's START names."""
    _saved_at: float = 0.0
    _step_began: float = 0.0

    def __post_init__(self) -> None:
        self._saved_at = self._step_began = self.clock()

    @property
    def leads(self) -> bool:
        return self.world.rank == 0

    def begin(self, step: int) -> None:
        """Start the step's clock, or end this process if a fault was asked for."""
        self._step_began = self.clock()
        for fault in self.chaos:
            signum = BLOWS.get(fault.kind)
            if signum is not None and (fault.rank, fault.step) == (self.world.rank, step):
                name = f"{fault.kind}:{fault.rank}@{step}"
                self.emit({"event": "chaos", "fault": name, "rank": fault.rank, "step": step})
                os.kill(os.getpid(), signum)

    def agree(self, step: int, measured: Measured, waited: float) -> Word:
        """One small max-reduce on CPU. Clocks are read on rank 0 only."""
        load = measured.load
        worst = (-load.entropy, load.max_load, load.dropped, float(load.dead)) if load else (float("-inf"),) * 4
        facts = (self.control.stop, self._save_is_due(step), self.checkpoints.busy, not measured.finite)
        word = torch.tensor([*map(float, facts), *worst, waited], dtype=torch.float64)
        dist.all_reduce(word, op=dist.ReduceOp.MAX, group=self.world.control_group)
        stop, save, busy, skip, entropy, max_load, dropped, dead, longest = word.tolist()
        agreed = None if entropy == float("-inf") else Load(-entropy, max_load, dropped, int(dead))
        return Word(bool(stop), bool(save), bool(busy), bool(skip), agreed, longest)

    def _save_is_due(self, step: int) -> bool:
        every = self.plan.checkpoint
        by_steps = every.interval_steps is not None and step % every.interval_steps == 0
        by_clock = every.interval_seconds is not None and self.clock() - self._saved_at >= every.interval_seconds
        return self.control.save or (self.leads and (by_steps or by_clock))

    def note_save(self, *, begun: bool) -> None:
        """The next save by the clock counts from here; a wish for one stands until it is granted."""
        self._saved_at = self.clock()
        if begun:
            self.control.save = False

    # Records

    def report(self, record: Record) -> None:
        if self.leads:
            self.emit({name: _told(value) for name, value in record.items()})

    def report_step(self, step: int, measured: Measured, word: Word, *, lr: float, tokens: int) -> None:
        record: Record = {
            "event": "step",
            "step": step,
            "loss": measured.loss,
            "tokens": tokens,
            "tokensPerSecond": self.plan.batch.tokens / max(self.clock() - self._step_began, 1e-9),
            "gradNorm": measured.grad_norm,
            "lr": lr,
            "dataWaitSeconds": word.waited,
        }
        moe = self.plan.model.moe
        if moe is not None and moe.balance in ("global", "micro"):
            record["auxLoss"] = measured.aux_loss
        if moe is not None and moe.z_loss:
            record["zLoss"] = measured.z_loss
        if word.skip:  # JSON knows no NaN
            record |= {"loss": None, "gradNorm": None, "skipped": True}
        if word.load is not None:
            load = word.load
            record["moe"] = {
                "entropy": load.entropy,
                "maxLoad": load.max_load,
                "dropped": load.dropped,
                "dead": load.dead,
            }
        self.report(record)

    def report_restored(self, step: int, ref: CheckpointRef | str, seconds: float) -> None:
        self.report({"event": "restored", "step": step, "uri": str(ref), "seconds": seconds})

    def report_saved(self, result: Saved | Failed | None) -> None:
        if isinstance(result, Failed):
            self.report({"event": "checkpointFailed", "step": result.step, **result.problem.dump()})
        elif result is not None:
            self.report(
                {
                    "event": "checkpoint",
                    "step": result.step,
                    "uri": str(result.ref),
                    "stallSeconds": result.stall_seconds,
                    "bytes": result.bytes,
                    "skipped": self.checkpoints.skipped,
                }
            )


def _told(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def open_run(
    plan: Plan,
    store: JobStore,
    epoch: int,
    *,
    emit: Callable[[Record], None],
    clock: Callable[[], float],
    control: Control | None = None,
    chaos: Sequence[Injected] = (),
    device: torch.device | None = None,
    access: Access | None = None,
    now: Callable[[], str] = utc_now,
    copies: Copies | None = None,
    parent: CheckpointRef | None = None,
) -> Run:
    """A run on the default process group, which must exist; all its ranks call this together."""
    world = build_world(plan.mesh, device or torch.device("cpu"))
    checkpoints = Checkpoints(store, epoch, plan, now=now, clock=clock)
    checkpoints.copies = copies
    return Run(plan, world, checkpoints, emit, clock, control or Control(), chaos, access or default_access(), parent)
