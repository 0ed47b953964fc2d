"""Forward and backward over the micro-batches of a step, with or without a pipeline."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from ultrathink_planner import Plan

from ..data.loader import Rows
from ..model.transformer import Transformer
from .mesh import World
from .parallelize import COMPUTED, KEPT


class Batches(Protocol):
    """Runs the rows of a step through the model. Both return this rank's loss: a sum over labels, divided by
    `divisor`. Where no loss is computed it is zero."""

    def train(self, rows: Rows, divisor: float) -> torch.Tensor: ...

    def evaluate(self, rows: Rows, divisor: float) -> torch.Tensor: ...


class Accumulated:
    """One stage: micro-batches one after another; gradients travel with the last."""

    def __init__(self, model: Transformer, micro_rows: int) -> None:
        self.model, self.micro_rows = model, micro_rows

    def train(self, rows: Rows, divisor: float) -> torch.Tensor:
        micro_batches = self._split(rows)
        total = torch.zeros((), dtype=torch.float64, device=rows.tokens_BT.device)
        for index, (tokens_BT, labels_BT) in enumerate(micro_batches):
            last = index == len(micro_batches) - 1
            self.model.set_is_last_backward(last)
            self.model.set_requires_gradient_sync(last)
            loss = self.model(tokens_BT, labels_BT).sum() / divisor
            loss.backward()
            total += loss.detach()
        return total

    def evaluate(self, rows: Rows, divisor: float) -> torch.Tensor:
        losses = [self.model(tokens_BT, labels_BT).sum() for tokens_BT, labels_BT in self._split(rows)]
        return torch.stack(losses).double().sum() / divisor

    def _split(self, rows: Rows) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(zip(rows.tokens_BT.split(self.micro_rows), rows.labels_BT.split(self.micro_rows), strict=True))


class Pipelined:
    """Several stages: torch's own schedules on static shapes, so that nothing runs but the step itself."""

    def __init__(self, model: Transformer, plan: Plan, world: World) -> None:
        batch, shape = plan.batch, plan.model
        length = batch.sequence_length // world.size("context")
        positions = length // world.size("tensor")
        with torch.device("meta"):
            tokens = torch.empty(batch.micro_rows, length, dtype=torch.int64)
            activations = torch.empty(batch.micro_rows, positions, shape.hidden, dtype=COMPUTED[plan.precision])
            loss = torch.empty(1, dtype=KEPT[plan.precision])
        index, count = world.at("pipeline"), world.size("pipeline")
        self.first, self.last = index == 0, index == count - 1
        stage = PipelineStage(
            model,
            index,
            count,
            world.device,
            input_args=(tokens if self.first else activations.requires_grad_(),),
            output_args=(loss.requires_grad_() if self.last else activations.clone().requires_grad_(),),
            group=world.mesh.get_group("pipeline"),
        )
        # 1F1B keeps fewer activations alive, but wants at least a micro-batch a stage.
        schedule = Schedule1F1B if batch.microbatches >= count else ScheduleGPipe
        self.divisor = 1.0
        self.schedule = schedule(stage, batch.microbatches, loss_fn=self._loss, scale_grads=False)
        self.device = world.device

    def train(self, rows: Rows, divisor: float) -> torch.Tensor:
        return self._run(self.schedule.step, rows, divisor)

    def evaluate(self, rows: Rows, divisor: float) -> torch.Tensor:
        return self._run(self.schedule.eval, rows, divisor)

    def _run(self, run: Callable[..., object], rows: Rows, divisor: float) -> torch.Tensor:
        self.divisor = divisor
        losses: list[torch.Tensor] = []
        inputs = (rows.tokens_BT,) if self.first else ()
        targets = {"labels_BT": rows.labels_BT, "target": rows.labels_BT, "losses": losses} if self.last else {}
        run(*inputs, **targets)
        return sum(
            (loss.detach().double() for loss in losses), torch.zeros((), dtype=torch.float64, device=self.device)
        )

    def _loss(self, sum_1: torch.Tensor, labels_BT: torch.Tensor) -> torch.Tensor:
        """The last stage has seen the labels already."""
        return sum_1.sum() / self.divisor


def build_batches(model: Transformer, plan: Plan, world: World) -> Batches:
    if world.size("pipeline") == 1:
        return Accumulated(model, plan.batch.micro_rows)
    return Pipelined(model, plan, world)
