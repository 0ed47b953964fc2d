"""A small real run in this process, by the trainer's own engine and loader: what benchmarks of learning stand on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, plan
from ultrathink_trainer.data.loader import Cursor, Loader
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.optim.schedule import learning_rate
from ultrathink_trainer.parallel.engine import Engine, Measured
from ultrathink_trainer.parallel.mesh import build_world

Seen = Callable[[int, Measured, Engine], None]
"""Is told of each step between its gradients and its update, while the step's counts are there."""


@dataclass(frozen=True)
class Trained:
    """A model after its run, and the data that it was given."""

    plan: Plan
    engine: Engine
    loader: Loader

    def held_out_loss(self, batches: int) -> float:
        return self.engine.evaluate([self.loader.held_out(batch) for batch in range(batches)])


def job(model: dict[str, Any], **training: Any) -> JobSpec:
    """One rank on stories."""
    return JobSpec.model_validate(
        {"model": model, "data": {"uri": "builtin://stories"}, "training": training, "workers": {"count": 1}}
    )


@contextmanager
def alone() -> Iterator[None]:
    """A process group of this process, which the engine expects."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def begin(made: Plan) -> tuple[Engine, Loader, Cursor]:
    """What the loop works with, before its first step."""
    batch = made.batch
    source = open_source(made.data, seed=made.seed, length=batch.sequence_length, vocabulary=made.model.vocabulary)
    engine = Engine(made, build_world(made.mesh, torch.device("cpu")))
    return engine, Loader(source, batch.rows, rank=0, ranks=1), Cursor(source.fingerprint)


def train(spec: JobSpec, seen: Seen | None = None) -> Trained:
    """The loop without what keeps it alive: no checkpoints, no supervisor. Within `alone`."""
    made = plan(spec)
    engine, loader, cursor = begin(made)
    for step in range(1, made.steps + 1):
        rows, cursor = loader.next(cursor)
        measured = engine.forward_backward(rows, step)
        if seen is not None:
            seen(step, measured, engine)
        lr = learning_rate(step, peak=made.optimizer.lr, steps=made.steps, schedule=made.schedule)
        engine.update(lr, measured.grad_norm)
        engine.clear()
    return Trained(made, engine, loader)
