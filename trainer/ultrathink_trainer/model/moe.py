"""Mixture of experts: routed rows, stacked experts, a shared expert; dropless unless a capacity is asked for."""

import math
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from ultrathink_planner import DREShape, MoEShape

from .auxiliary import StepFacts, attach, global_loss, micro_loss, rows_per_expert, z_loss
from .context import positions_of
from .dre import FULL, SIGMOID_START, threshold, trained
from .kernels import grouped_linear
from .layers import SwiGLU
from .router import Choice, Router
from .rows import Bring, GatedUnit, Take, sorted_rows

# Shapes: B rows, T positions, N = B*T tokens, H hidden, F an expert's intermediate, E experts,
# S experts chosen for a token, M = N*S slots, R <= M routed rows sorted by expert.


Compute = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Exchange = Callable[[torch.Tensor, torch.Tensor, Compute], torch.Tensor]
"""Computes rows on the ranks that hold their experts; without one this rank holds all experts itself."""


class Experts(nn.Module):
    """The experts' SwiGLU MLPs as two stacked weights; gate comes first in gate_up."""

    def __init__(self, hidden: int, moe: MoEShape) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(moe.experts, 2 * moe.intermediate, hidden))
        self.down = nn.Parameter(torch.empty(moe.experts, hidden, moe.intermediate))
        self.exchange: Exchange | None = None

    def forward(self, x_RH: torch.Tensor, counts_E: torch.Tensor) -> torch.Tensor:
        if self.exchange is None:
            return self.compute(x_RH, counts_E)
        return self.exchange(x_RH, counts_E, self.compute)

    def compute(self, x_RH: torch.Tensor, counts_E: torch.Tensor) -> torch.Tensor:
        """The experts that this rank has, on rows sorted by them."""
        inner_RF = GatedUnit.apply(grouped_linear(x_RH, mine(self.gate_up), counts_E))
        return grouped_linear(inner_RF, mine(self.down), counts_E)


def mine(weight: torch.Tensor) -> torch.Tensor:
    """This rank's experts; FSDP has gathered what else was cut."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


class MoE(nn.Module):
    """Routes each token to its experts, weighs their answers, adds the shared expert's."""

    bias: torch.Tensor | None
    previous: torch.Tensor | None
    thresholds: torch.Tensor | None
    asked: torch.Tensor
    counts: torch.Tensor
    losses: torch.Tensor

    def __init__(self, hidden: int, moe: MoEShape, dre: DREShape | None = None) -> None:
        super().__init__()
        self.moe, self.dre = moe, dre
        self.router = Router(hidden, moe)
        self.experts = Experts(hidden, moe)
        self.shared = SwiGLU(hidden, moe.shared * moe.intermediate) if moe.shared else None
        # Not trained, moved by balance.py once a step, kept in the checkpoint.
        bias_E = torch.empty(moe.experts, dtype=torch.float32) if moe.balance == "bias" else None
        self.register_buffer("bias", bias_E)
        previous_E = torch.empty(moe.experts, dtype=torch.int64) if moe.balance == "global" else None
        self.register_buffer("previous", previous_E)
        values = torch.empty(len(trained(dre)), dtype=torch.float32) if dre and trained(dre) else None
        self.register_buffer("thresholds", values)
        # Of this step's training forwards: rows that the router asked for, rows that reached each expert, and the
        # balance and z-losses; balance.py reads and clears them.
        self.register_buffer("asked", torch.empty(moe.experts, dtype=torch.int64), persistent=False)
        self.register_buffer("counts", torch.empty(moe.experts, dtype=torch.int64), persistent=False)
        self.register_buffer("losses", torch.empty(2), persistent=False)
        self.facts = StepFacts(tokens=1, rows=1)
        self.row_group: dist.ProcessGroup | None = None
        """The ranks that hold the other positions of the same rows."""
        self.context_ranks = 1
        """Over how many of them a row is cut before each part is cut once more by tensor."""

    def reset(self) -> None:
        """Fill the buffers; called once the model left the meta device."""
        for buffer in (self.asked, self.counts, self.losses, self.bias, self.previous, self.thresholds):
            if buffer is not None:
                buffer.zero_()
        if self.thresholds is not None and self.moe.router == "sigmoid":
            self.thresholds.fill_(SIGMOID_START)

    def forward(self, x_BTH: torch.Tensor) -> torch.Tensor:
        x_NH = x_BTH.flatten(0, 1)
        positions = x_BTH.shape[1]
        choice = self.router(x_NH, self.bias)
        kept_NS = self._kept(choice, positions)
        chosen_M = choice.chosen_NS.flatten()
        if kept_NS is not None:  # what is not kept sorts behind the last expert
            chosen_M = chosen_M.where(kept_NS.flatten(), self.moe.experts)
        counts_E = chosen_M.bincount(minlength=self.moe.experts)[: self.moe.experts]
        kept = len(chosen_M) if kept_NS is None else int(counts_E.sum())
        rows = sorted_rows(chosen_M, self.moe.experts, self.moe.top_k, kept)
        weights_NS = choice.weights_NS
        if self.training:
            self.counts += counts_E
            dropping = self.moe.capacity is not None  # a null slot was never asked for, a dropped one was
            self.asked += choice.chosen_NS.flatten().bincount(minlength=self.moe.experts) if dropping else counts_E
            weights_NS = self._with_losses(choice, positions)
        y_RH = self.experts(Take.apply(x_NH, rows), counts_E)
        y_BTH = Bring.apply(y_RH, weights_NS, rows).unflatten(0, x_BTH.shape[:2])
        return y_BTH if self.shared is None else y_BTH + self.shared(x_BTH)

    def _kept(self, choice: Choice, positions: int) -> torch.Tensor | None:
        """Which slots are computed; none if that is all of them."""
        if self.moe.capacity is not None:
            return self._within_capacity(choice.chosen_NS, positions)
        effort = self.facts.effort
        if self.dre is None or self.thresholds is None or effort == FULL:
            return None
        lowest = self.thresholds.new_zeros(()) if self.bias is None else self.bias.min()
        return choice.wanted_NS >= threshold(self.dre, self.thresholds, effort, lowest)

    def _with_losses(self, choice: Choice, positions: int) -> torch.Tensor:
        """The weights, carrying this layer's own losses."""
        weights_NS, moe, facts = choice.weights_NS, self.moe, self.facts
        if moe.aux_loss and moe.balance in ("global", "micro"):
            if self.previous is not None:
                loss = global_loss(choice, moe, facts, self.previous)
            else:
                loss = micro_loss(choice, moe, facts, positions, self.row_group)
            self.losses[0] += loss.detach()
            weights_NS = attach(weights_NS, loss, facts)
        if moe.z_loss:
            loss = z_loss(choice, moe, facts)
            self.losses[1] += loss.detach()
            weights_NS = attach(weights_NS, loss, facts)
        return weights_NS

    def _within_capacity(self, chosen_NS: torch.Tensor, positions: int) -> torch.Tensor:
        """Whether a slot is among the first of its sequence that its expert takes. Earlier positions come first, so
        that no token depends on a later one."""
        assert self.moe.capacity is not None
        chosen_BTS = chosen_NS.view(-1, positions, self.moe.top_k)
        if self.row_group is None:
            return self._taken(chosen_BTS).view_as(chosen_NS)
        ranks = self.row_group.size()
        everywhere = [torch.empty_like(chosen_BTS) for _ in range(ranks)]
        dist.all_gather(everywhere, chosen_BTS, group=self.row_group)
        length = positions * ranks
        where = torch.cat([positions_of(length, rank, self.context_ranks) for rank in range(self.context_ranks)])
        where = where.to(chosen_NS.device)
        whole = torch.empty_like(torch.cat(everywhere, dim=1))
        whole[:, where] = torch.cat(everywhere, dim=1)
        mine = where.chunk(ranks)[self.row_group.rank()]
        return self._taken(whole)[:, mine].reshape(chosen_NS.shape)

    def _taken(self, chosen_BTS: torch.Tensor) -> torch.Tensor:
        """The same of whole rows in their order."""
        assert self.moe.capacity is not None
        chosen_BM = chosen_BTS.flatten(1)
        counts_BE = rows_per_expert(chosen_BM, self.moe.experts)
        order_BM = chosen_BM.argsort(dim=1, stable=True)
        first_BE = counts_BE.cumsum(1) - counts_BE
        place_BM = torch.arange(chosen_BM.shape[1], device=chosen_BM.device) - first_BE.gather(
            1, chosen_BM.gather(1, order_BM)
        )
        place_BM = torch.empty_like(order_BM).scatter_(1, order_BM, place_BM)
        limit = math.ceil(self.moe.capacity * chosen_BM.shape[1] / self.moe.experts)
        return (place_BM < limit).view_as(chosen_BTS)
