"""A run: all that the training loop needs from outside, and the word by which its ranks agree."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
from torch import nn

from ultrathink_planner import Plan
from ultrathink_store import CheckpointRef, JobStore
from ultrathink_store.job import utc_now

from .checkpoint.checkpoints import Checkpoints, Failed, Saved
from .checkpoint.copies import Copies
from .checkpoint.interval import History, interval
from .checkpoint.progress import Progress
from .data.source import default_access
from .data.tokens import Access
from .injection import BLEMISHES, BLOWS, spoil, strike
from .model.balance import Load
from .parallel.engine import Measured
from .parallel.mesh import World, build_world
from .stragglers import Stragglers

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


class NonFinite(Exception):
    """More steps in a row were not finite than a run bears: it has to go back, and around what it read."""

    def __init__(self, first: int, last: int, rows: tuple[int, int]) -> None:
        super().__init__(f"steps {first} to {last} were not finite (rows {rows[0]} to {rows[1] - 1} of the data)")
        self.rows = rows


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
    own: tuple[float, ...] = ()
    """What each rank computed by itself since the word before, in seconds; empty where nobody measures it."""


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
    skips: tuple[tuple[int, int], ...] = ()
    """Rows that this attempt is not to read, beside those that its checkpoint names."""
    bears: int = 2
    """Non-finite steps in a row that are skipped and no more."""
    history: History = field(default_factory=History)
    own_time: Callable[[], float] | None = None
    """Seconds that this rank computed by itself since the last call; given to all ranks or to none."""
    _bad: tuple[int, int, int] | None = None
    """Of the non-finite steps in a row: the first, its first row, how many."""
    _began: float = 0.0
    _saved_at: float = 0.0
    _step_began: float = 0.0

    def __post_init__(self) -> None:
        self._began = self._saved_at = self._step_began = self.clock()
        self._stragglers: Stragglers | None = None

    @property
    def leads(self) -> bool:
        return self.world.rank == 0

    def begin(self, step: int, model: nn.Module) -> None:
        """Start the step's clock, and do to the model what was asked for."""
        self._step_began = self.clock()
        for kind in self._faults(step, BLEMISHES):
            spoil(kind, model, self.world.device)

    def _faults(self, step: int, kinds: Collection[str]) -> Iterator[str]:
        """What was asked for of these kinds, here and now; said before it is done."""
        for fault in self.chaos:
            if fault.kind in kinds and (fault.rank or 0, fault.step) == (self.world.rank, step):
                where = "" if fault.rank is None else f":{fault.rank}"
                name = f"{fault.kind}{where}@{step}"
                self.emit({"event": "chaos", "fault": name, "rank": self.world.rank, "step": step})
                yield fault.kind

    def bear(self, word: Word, step: int, rows: tuple[int, int]) -> None:
        """Bear a non-finite step, if it is not one too many in a row. All ranks know the same."""
        if not word.skip:
            self._bad = None
            return
        first, start, count = self._bad or (step, rows[0], 0)
        self._bad = (first, start, count + 1)
        if count + 1 > self.bears:
            self.report_saved(self.checkpoints.result(wait=True))
            raise NonFinite(first, step, (start, rows[1]))

    def agree(self, step: int, measured: Measured, waited: float) -> Word:
        """One small max-reduce on CPU. Clocks are read on rank 0 only.

        Here a rank is gone or stands still if that was asked for: in the middle of the step, as the others are too.
        """
        for kind in self._faults(step, BLOWS):
            strike(kind)
        load = measured.load
        worst = (-load.entropy, load.max_load, load.dropped, float(load.dead)) if load else (float("-inf"),) * 4
        facts = (self.control.stop, self._save_is_due(step), self.checkpoints.busy, not measured.finite)
        word = torch.tensor([*map(float, facts), *worst, waited, *self._own_times()], dtype=torch.float64)
        dist.all_reduce(word, op=dist.ReduceOp.MAX, group=self.world.control_group)
        stop, save, busy, skip, entropy, max_load, dropped, dead, longest, *own = word.tolist()
        agreed = None if entropy == float("-inf") else Load(-entropy, max_load, dropped, int(dead))
        return Word(bool(stop), bool(save), bool(busy), bool(skip), agreed, longest, tuple(own))

    def _own_times(self) -> list[float]:
        """This rank's, at its place among zeros: the maximum over ranks is then everybody's."""
        if self.own_time is None:
            return []
        times = [0.0] * dist.get_world_size()
        times[self.world.rank] = self.own_time()
        return times

    def keeps_copies(self, fitted: bool) -> bool:
        """Whether copies in memory go on, after one that fitted here or not. All ranks have them or none has."""
        copies = self.checkpoints.copies
        assert copies is not None, "no copies are kept"
        if not copies.agreed:
            room = torch.tensor(float(fitted))
            dist.all_reduce(room, op=dist.ReduceOp.MIN, group=self.world.control_group)
            copies.agreed, fitted = True, bool(room.item())
        if not fitted:
            self.checkpoints.copies = None
        return fitted

    def _save_is_due(self, step: int) -> bool:
        every = self.plan.checkpoint
        by_steps = every.interval_steps is not None and step % every.interval_steps == 0
        seconds = self._interval()
        by_clock = seconds is not None and self.clock() - self._saved_at >= seconds
        return self.control.save or (self.leads and (by_steps or by_clock))

    def _interval(self) -> float | None:
        """Seconds between two saves by the clock."""
        most = self.plan.checkpoint.interval_seconds
        if most is None or not self.plan.checkpoint.auto:
            return most
        running = self.clock() - self._began
        stall = self.checkpoints.stall_seconds
        return interval(stall, self.history, nodes=self.plan.nodes, running=running, most=most)

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
        if measured.adapted is not None:
            dre = measured.adapted
            record["dre"] = {
                "effort": dre.effort,
                "expertsPerToken": dre.experts_per_token,
                "flopsSaved": dre.flops_saved,
            }
        if word.skip:  # JSON knows no NaN
            record |= {"loss": None, "gradNorm": None, "skipped": True}
        record |= self._compare(step, word.own)
        if word.load is not None:
            load = word.load
            record["moe"] = {
                "entropy": load.entropy,
                "maxLoad": load.max_load,
                "dropped": load.dropped,
                "dead": load.dead,
            }
        self.report(record)

    def _compare(self, step: int, own: tuple[float, ...]) -> Record:
        """Tell of ranks that have become slow, or are so no more; what the step's own record says of it."""
        if not self.leads or not own:
            return {}
        if self._stragglers is None:  # what lies before the first step is start-up, and everybody's own
            self._stragglers = Stragglers(len(own), self.plan.mesh.pipeline)
            return {}
        began, ended = self._stragglers.take(own)
        for slow in began:
            told = {"slow": slow.rank, "seconds": slow.seconds, "peerSeconds": slow.peers, "ratio": slow.ratio}
            self.report({"event": "straggler", "step": step, **told})
        for rank in ended:
            self.report({"event": "stragglerGone", "step": step, "slow": rank})
        ratio = self._stragglers.ratio
        return {} if ratio is None else {"stragglerRatio": ratio}

    def report_restored(self, step: int, ref: CheckpointRef | str, seconds: float) -> None:
        self.report({"event": "restored", "step": step, "uri": str(ref), "seconds": seconds})

    def report_early_end(self, progress: Progress) -> None:
        """Where it is patience that ended the run."""
        found = progress.held_out
        if progress.step < self.plan.steps and progress.ended(self.plan):
            lowest = "was never a number" if found.best is None else f"was lowest at {found.best:.6g}"
            said = f"held-out loss {lowest}, {found.stale} measurements ago"
            self.report({"event": "stoppedEarly", "step": progress.step, "best": found.best, "message": said})

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
    if isinstance(value, dict):
        return {name: _told(inner) for name, inner in value.items()}
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
    skips: Sequence[tuple[int, int]] = (),
    bears: int = 2,
    history: History | None = None,
    now: Callable[[], str] = utc_now,
    copies: Copies | None = None,
    parent: CheckpointRef | None = None,
    own_time: Callable[[], float] | None = None,
) -> Run:
    """A run on the default process group, which must exist; all its ranks call this together."""
    world = build_world(plan.mesh, device or torch.device("cpu"))
    checkpoints = Checkpoints(store, epoch, plan, now=now, clock=clock)
    checkpoints.copies = copies
    return Run(
        plan,
        world,
        checkpoints,
        emit,
        clock,
        control or Control(),
        chaos,
        access or default_access(),
        parent,
        tuple(skips),
        bears,
        history or History(),
        own_time,
    )
