"""The decoder, whole or cut to one pipeline stage; a parameter has the same name in every layout."""

import torch
from torch import nn

from ultrathink_planner import ModelShape, Stage

from .cross_entropy import cross_entropy_sum
from .layers import Attention, Rotary, SwiGLU
from .moe import MoE
from .recompute import recomputed

# Shapes: B rows, T positions, H hidden, V vocabulary.


class Block(nn.Module):
    """Attention, then experts or an MLP, each behind a norm and beside a residual; in some models normed once more."""

    recompute = False
    """Whether activations are computed again in backward."""

    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon)
        self.attn = Attention(shape)
        self.mlp_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon)
        post_norms = shape.post_norms
        self.attn_post_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon) if post_norms else None
        self.mlp_post_norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon) if post_norms else None
        if shape.moe is None or not shape.has_experts(layer):
            self.mlp = SwiGLU(shape.hidden, shape.intermediate)
        else:
            self.moe = MoE(shape.hidden, shape.moe, shape.dre)

    def forward(self, x_BTH: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        if self.recompute and self.training:
            return recomputed(self._forward, x_BTH, rotary, buffers=self.buffers)
        return self._forward(x_BTH, rotary)

    def _forward(self, x_BTH: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        mixed_BTH = self.attn(self.attn_norm(x_BTH), rotary)
        x_BTH = x_BTH + (mixed_BTH if self.attn_post_norm is None else self.attn_post_norm(mixed_BTH))
        feed_forward = self.mlp if hasattr(self, "mlp") else self.moe
        fed_BTH = feed_forward(self.mlp_norm(x_BTH))
        return x_BTH + (fed_BTH if self.mlp_post_norm is None else self.mlp_post_norm(fed_BTH))


class Transformer(nn.Module):
    """Tokens to logits; a stage in the middle of a pipeline maps activations to activations."""

    def __init__(self, shape: ModelShape, stage: Stage) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.hidden) if stage.embedding else None
        self.rotary = Rotary(shape)
        # Keyed by the global index, so that names do not depend on the cut.
        self.layers = nn.ModuleDict({str(i): Block(shape, i) for i in range(stage.first_layer, stage.last_layer)})
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.norm_epsilon) if stage.head else None
        self.head = nn.Linear(shape.hidden, shape.vocabulary, bias=False) if stage.head else None
        self.tie()

    def tie(self) -> None:
        """Let head and embedding be one parameter; said again after anything that replaces parameters."""
        if self.shape.tied_embeddings and self.head is not None:
            assert self.embed is not None, "tied embeddings need both ends on one stage"
            self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor, labels_BT: torch.Tensor | None = None) -> torch.Tensor:
        """x: token ids [B, T] on the first stage, activations [B, T, H] on the others. With labels the last stage
        answers the sum of their losses, as a vector of one, and makes no more logits at once than it must."""
        x_BTH = x if self.embed is None else self.embed(x)
        for block in self.layers.values():
            x_BTH = block(x_BTH, self.rotary)
        if self.norm is None or self.head is None:
            return x_BTH
        if labels_BT is None:
            return self.head(self.norm(x_BTH))
        # Stacked, for FSDP hooks what comes out and a view may lose the hook.
        return torch.stack([cross_entropy_sum(self.norm(x_BTH), self.head.weight, labels_BT)])

    def moe_layers(self) -> list[MoE]:
        return [block.moe for block in self.layers.values() if hasattr(block, "moe")]
