"""Whole runs on forked ranks, with a store in a folder: what the tests of the loop and of checkpoints stand on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed.ranks import DEADLINE_SECONDS, run_ranks
from ultrathink_planner import Plan
from ultrathink_store import JobStore, Start, open_job
from ultrathink_trainer.agent.memory import Memory
from ultrathink_trainer.checkpoint.copies import Copies
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.parallel.engine import Engine
from ultrathink_trainer.run import Control, Run, open_run
from ultrathink_trainer.train import train

Record = dict[str, Any]
UID = "uid-1"
CREATED_AT = "2026-01-01T00:00:00.000Z"


Place = Path | str
"""A folder, or the URI of a bucket."""


def job_store(place: Place) -> JobStore:
    return open_job(place if isinstance(place, str) else f"file://{place}", None, "job", UID)


def begin_attempt(place: Place, epoch: int) -> JobStore:
    """Take the epoch as a supervisor does: it starts from the newest valid checkpoint."""
    store = job_store(place)
    store.claim(None)
    newest = store.newest() if epoch > 1 else None
    store.take_epoch(epoch, Start(epoch=epoch, parent=newest.ref if newest else None, created_at=CREATED_AT))
    return store


@dataclass(frozen=True)
class Kill:
    rank: int
    step: int
    kind: str = "kill"


@dataclass(frozen=True)
class Attempt:
    """What rank 0 told, and how each rank ended."""

    records: list[Record]
    finishes: list[Any]

    def of(self, event: str) -> list[Record]:
        return [record for record in self.records if record["event"] == event]

    @property
    def losses(self) -> dict[int, float]:
        return {record["step"]: record["loss"] for record in self.of("step")}


def patient(run: Run) -> None:
    """Let each save be committed before the next step, however busy the machine is."""
    save = run.checkpoints.save

    def save_and_wait(*state: Any) -> None:
        save(*state)
        until = time.monotonic() + DEADLINE_SECONDS
        while run.checkpoints.busy and time.monotonic() < until:
            time.sleep(0.001)

    run.checkpoints.save = save_and_wait  # type: ignore[method-assign]


def mismeasure(run: Run, **what: float) -> None:
    """Let this rank find something else in step 2 than it did."""
    agree = run.agree

    def after(step: int, measured: Any, waited: float) -> Any:
        for name, value in what.items() if step == 2 else ():
            object.__setattr__(measured, name, value)
        return agree(step, measured, waited)

    run.agree = after  # type: ignore[method-assign]


def attempt(
    plan: Plan,
    place: Place,
    epoch: int,
    *,
    chaos: Sequence[Kill] = (),
    on_record: Callable[[Record, Control], None] | None = None,
    prepare: Callable[[Run], None] | None = None,
    memory: Memory | None = None,
    since: int = 1,
) -> Attempt:
    """One attempt from restore to end. `on_record` sees rank 0's records and may wish for something.

    With `memory`, each step is copied there, and a copy of an attempt from `since` on may be gone on from.
    """
    parent = begin_attempt(place, epoch).epochs()[-1].start.parent

    def work(rank: int) -> tuple[list[Record], Any]:
        records: list[Record] = []
        control = Control()

        def emit(record: Record) -> None:
            records.append(record)
            if on_record:
                on_record(record, control)

        copies = Copies(memory.of(rank), every=1, run=plan.digest, rank=rank, since=since) if memory else None
        run = open_run(
            plan,
            job_store(place),
            epoch,
            emit=emit,
            clock=time.monotonic,
            control=control,
            chaos=chaos,
            copies=copies,
            parent=parent,
        )
        if prepare:
            prepare(run)
        finish = train(run)
        return records, (finish.kind, finish.step)

    results = run_ranks(plan.world_size, work)
    return Attempt(results[0][0], [finish for _, finish in results])


def read_whole(place: Place, step: int) -> dict[str, bytes]:
    """Every tensor of a checkpoint put together from its pieces, as bytes, read without the trainer."""
    import numpy

    store = job_store(place)
    checkpoint = store.open(store.find(str(step)))
    names = {"F32": "<f4", "F64": "<f8"}
    tensors = {}
    for name, entry in checkpoint.manifest.tensors.items():
        whole = numpy.empty(entry.shape, names[entry.dtype])
        for piece in entry.pieces:
            box = tuple(slice(o, o + n) for o, n in zip(piece.offsets, piece.shape, strict=True))
            data = numpy.frombuffer(checkpoint.read_piece(piece), names[entry.dtype])
            whole[box] = data.reshape(piece.shape)
        tensors[name] = whole.tobytes()
    return tensors


def stop_after(step: int) -> Callable[[Record, Control], None]:
    def wish(record: Record, control: Control) -> None:
        # A wish is heard within the next step, so it is made one step early.
        if record["event"] == "step" and record["step"] == step - 1:
            control.stop = True

    return wish


def save_as_restored(plan: Plan, source: Path, target: Path) -> None:
    """Restore from one folder and save the same step into another."""
    begin_attempt(target, 1)

    def work(rank: int) -> int:
        run = open_run(plan, job_store(source), 1, emit=print, clock=lambda: 0.0)
        engine = Engine(plan, run.world)
        length = plan.batch.sequence_length
        rows = open_source(plan.data, seed=plan.seed, length=length, vocabulary=plan.model.vocabulary)
        tensors = engine.tensors()
        progress, _ = run.checkpoints.restore(tensors, rows.fingerprint)
        assert progress is not None
        engine.take(tensors, progress.updates)
        run.checkpoints.store = job_store(target)
        run.checkpoints.save(engine.tensors(), progress)
        run.checkpoints.result(wait=True)
        return progress.step

    run_ranks(plan.world_size, work)
