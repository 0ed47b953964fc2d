"""The engine: everything a training loop does to a model, whatever its layout."""

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist

from ultrathink_planner import Plan

from ..data.loader import Rows
from ..engines import build_backend
from ..model.auxiliary import StepFacts
from ..model.balance import Counts, Load, load_of, move_balance, rows_sent, take_counts, take_losses
from ..model.dre import FULL, effort_of_step, expert_flops
from ..optim.scaler import Scaler
from .context import positions_here
from .loss import clip_factor, count_labels
from .mesh import World


@dataclass(frozen=True)
class Adapted:
    """What adaptive compute did in a step, over all layers."""

    effort: float
    experts_per_token: float
    flops_saved: float
    """Share of the routed experts' FLOPs that nulls took, counted by rows."""


@dataclass(frozen=True)
class Measured:
    """What a step's forward and backward gave, the same on all ranks but for `load`, which is the stage's."""

    loss: float
    grad_norm: float
    load: Load | None
    aux_loss: float = 0.0
    z_loss: float = 0.0
    adapted: Adapted | None = None

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Engine:
    """The step, the same whichever engine holds the state."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan, self.world = plan, world
        self.backend = build_backend(plan, world)
        self.model, self.batches = self.backend.model, self.backend.batches
        self.scaler = Scaler(plan.precision)
        self.experts = self.model.moe_layers()
        self.counts: Counts | None = None

    def forward_backward(self, rows: Rows, step: int = 1) -> Measured:
        """Gradients of the mean loss over the global batch's labels."""
        rows = self._here(rows)
        dre = self.plan.model.dre
        effort = effort_of_step(dre, self.plan.seed, step) if dre else FULL
        self._tell(effort)
        scale = self.scaler.scale
        loss = self.batches.train(rows, count_labels(rows.labels_BT, self.world) / scale) / scale
        own = take_losses(self.experts, self.world.device)
        sent = rows_sent(self.experts, self.world.device) if dre else ()
        sums = torch.stack([self._counted(loss), self.backend.squared_norm(), *own, *sent])
        dist.all_reduce(sums)
        self.counts = take_counts(self.experts, self.world.stage_group)
        return Measured(
            loss=sums[0].item(),
            grad_norm=math.sqrt(sums[1].item()) / scale,
            load=None if self.counts is None else load_of(self.counts),
            aux_loss=sums[2].item(),
            z_loss=sums[3].item(),
            adapted=self._adapted(effort, rows=round(sums[4].item())) if dre else None,
        )

    def _tell(self, effort: float) -> None:
        batch, scale = self.plan.batch, self.scaler.scale * self.backend.divides
        for layer in self.experts:
            layer.facts = StepFacts(batch.tokens, batch.rows, gradient_scale=scale, effort=effort)

    def _adapted(self, effort: float, *, rows: int) -> Adapted:
        model, moe, hidden = self.plan.model, self.plan.model.moe, self.plan.model.hidden
        assert moe is not None, "a dense model has no adaptive compute"
        passes = self.plan.batch.tokens * sum(map(model.has_experts, range(model.layers)))
        saved = 1 - expert_flops(rows, hidden, moe) / expert_flops(passes * moe.top_k, hidden, moe)
        return Adapted(effort, rows / passes, saved)

    def update(self, lr: float, grad_norm: float) -> None:
        """One optimizer step, and one move of the balance."""
        factor = clip_factor(grad_norm, self.plan.clip_norm, self.scaler.scale)
        self.scaler.succeeded()
        self.backend.update(lr, factor)
        if self.counts is not None:
            move_balance(self.experts, self.counts)

    def skip(self, loss: float) -> bool:
        """What a step that is not finite does instead of an update; True where fp16's scale of the loss explains it."""
        return self.scaler.overflowed() and math.isfinite(loss)

    def clear(self) -> None:
        """Forget the gradients."""
        self.backend.clear()

    @torch.no_grad()
    def evaluate(self, batches: list[Rows]) -> float:
        """Mean loss over the labels of all batches."""
        self.model.eval()
        self._tell(self.plan.model.dre.effort if self.plan.model.dre else FULL)
        total, labels = 0.0, 0
        for rows in map(self._here, batches):
            count = count_labels(rows.labels_BT, self.world)
            loss = self._counted(self.batches.evaluate(rows, count))
            dist.all_reduce(loss)
            total, labels = total + loss.item() * count, labels + count
        self.model.train()
        return total / labels

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of a checkpoint by name, as they are now; each rank has its part."""
        return self.backend.tensors()

    def take(self, tensors: dict[str, torch.Tensor], updates: int = 0) -> None:
        """Go on from what was read into `tensors()`."""
        self.backend.take(tensors)
        self.backend.updates = updates

    @property
    def updates(self) -> int:
        """Optimizer steps made so far."""
        return self.backend.updates

    def _counted(self, loss: torch.Tensor) -> torch.Tensor:
        return loss if self.world.counts_loss else torch.zeros_like(loss)

    def _here(self, rows: Rows) -> Rows:
        rows = positions_here(rows, self.world)
        return Rows(rows.tokens_BT.to(self.world.device), rows.labels_BT.to(self.world.device))
