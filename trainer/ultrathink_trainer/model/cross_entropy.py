"""The head and its loss in one: logits exist for a few rows at a time, and for this rank's part of the vocabulary.

The gradients of head and input are made while the logits are there, so nothing as large as the logits is kept.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, Partial, Replicate

# Shapes: B rows, T positions, N = B*T tokens, C tokens of a chunk, H hidden, V this rank's part of the vocabulary.

IGNORED = -100
"""A label that counts nowhere."""
LOGITS_BYTES = 1 << 26
"""Logits that exist at once: large enough to keep a GPU's matrix units busy, small beside any activations."""


def cross_entropy_sum(
    x_BTH: torch.Tensor, weight_VH: torch.Tensor, labels_BT: torch.Tensor, *, logits_bytes: int = LOGITS_BYTES
) -> torch.Tensor:
    """Cross-entropy of head(x) in nats, summed over labels, in float32 or better. Of a head that is cut over tensor
    ranks each gives its part; all get the same sum."""
    group, first = None, 0
    if isinstance(weight_VH, DTensor):
        mesh = weight_VH.device_mesh
        assert mesh.ndim == 1, "the head is cut by vocabulary only"
        group = mesh.get_group()
        if isinstance(x_BTH, DTensor):
            x_BTH = x_BTH.redistribute(mesh, [Replicate()]).to_local(grad_placements=[Partial()])
        weight_VH = weight_VH.to_local()
        first = mesh.get_local_rank() * len(weight_VH)
    loss: torch.Tensor = ChunkedLoss.apply(
        x_BTH.flatten(0, 1), weight_VH, labels_BT.flatten(), group, first, logits_bytes
    )
    return loss


class ChunkedLoss(torch.autograd.Function):
    """The sum of the losses; backward only scales what forward made."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        labels_N: torch.Tensor,
        group: dist.ProcessGroup | None,
        first: int,
        logits_bytes: int,
    ) -> torch.Tensor:
        precise = torch.promote_types(x_NH.dtype, torch.float32)
        wanted = any(ctx.needs_input_grad)
        grad_x_NH = torch.empty_like(x_NH) if wanted else None
        grad_weight_VH = torch.zeros_like(weight_VH, dtype=precise) if wanted else None
        total = torch.zeros((), dtype=precise, device=x_NH.device)
        rows = max(1, logits_bytes // (len(weight_VH) * precise.itemsize))
        for start in range(0, len(x_NH), rows):
            x_CH = x_NH[start : start + rows]
            loss, grad_CV = _chunk(x_CH, weight_VH, labels_N[start : start + rows], group, first, precise, wanted)
            total += loss
            if grad_CV is not None and grad_x_NH is not None and grad_weight_VH is not None:
                torch.mm(grad_CV, weight_VH, out=grad_x_NH[start : start + rows])
                grad_weight_VH += grad_CV.t() @ x_CH
        if grad_weight_VH is not None and grad_x_NH is not None:
            ctx.save_for_backward(grad_x_NH, grad_weight_VH)
            ctx.dtype = weight_VH.dtype
        return total

    @staticmethod
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None, None]:
        grad_x_NH, grad_weight_VH = ctx.saved_tensors
        grad_x = (grad_x_NH.to(scale.dtype) * scale).to(grad_x_NH.dtype)  # the scale must not be rounded to half
        return grad_x, (grad_weight_VH * scale).to(ctx.dtype), None, None, None, None


def _chunk(
    x_CH: torch.Tensor,
    weight_VH: torch.Tensor,
    labels_C: torch.Tensor,
    group: dist.ProcessGroup | None,
    first: int,
    precise: torch.dtype,
    wanted: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Its loss, and the gradient of its logits, which takes their place."""
    logits_CV = (x_CH @ weight_VH.t()).to(precise)
    largest_C = logits_CV.amax(-1)
    if group is not None:
        dist.all_reduce(largest_C, op=dist.ReduceOp.MAX, group=group)
    logits_CV -= largest_C[:, None]
    counts_C = labels_C != IGNORED
    index_C = labels_C - first
    here_C = counts_C & (index_C >= 0) & (index_C < len(weight_VH))
    index_C = index_C.where(here_C, 0)[:, None]
    label_C = logits_CV.gather(1, index_C).squeeze(1) * here_C
    chances_CV = logits_CV.exp_()
    label_and_sum_2C = torch.stack((label_C, chances_CV.sum(-1)))
    if group is not None:
        dist.all_reduce(label_and_sum_2C, group=group)
    label_C, sum_C = label_and_sum_2C
    loss = ((sum_C.log() - label_C) * counts_C).sum()
    if not wanted:
        return loss, None
    chances_CV *= (counts_C / sum_C)[:, None]
    chances_CV.scatter_add_(1, index_C, -here_C.to(precise)[:, None])
    return loss, chances_CV.to(x_CH.dtype)
