"""What every block is made of: rotary positions, attention and the SwiGLU MLP."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ultrathink_api.sections.model import RopeScalingSpec
from ultrathink_planner import ModelShape

from .context import Context

# Shapes: B rows, T positions, H hidden, F intermediate, Q query heads, K key/value heads, D head dimension.
# Under tensor parallelism Q, K and F are this rank's share, under context parallelism T; the code reads them from its
# tensors.


class Rotary(nn.Module):
    """Angles of rotary positions, computed once in float32; buffers that no checkpoint holds.

    Rotates the first numbers of a head, the first half of them paired with the second; the rest passes by.
    """

    cos_TD: torch.Tensor
    sin_TD: torch.Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.width, self.theta, self.scaling = shape.rotary_width, shape.rope_theta, shape.rope_scaling
        size = (shape.max_positions, self.width)
        self.context: Context | None = None
        """The ranks that have the other positions of the same rows."""
        self.register_buffer("cos_TD", torch.empty(size), persistent=False)
        self.register_buffer("sin_TD", torch.empty(size), persistent=False)

    def reset(self) -> None:
        """Fill the buffers; called once the model left the meta device."""
        device = self.cos_TD.device
        frequency_D = 1.0 / self.theta ** (torch.arange(0, self.width, 2, dtype=torch.float32) / self.width)
        if self.scaling is not None:
            frequency_D = scaled(frequency_D, self.scaling)
        angle_TD = torch.outer(torch.arange(len(self.cos_TD), dtype=torch.float32), frequency_D).repeat(1, 2)
        self.cos_TD = angle_TD.cos().to(device)
        self.sin_TD = angle_TD.sin().to(device)

    def forward(self, x_BTQD: torch.Tensor) -> torch.Tensor:
        here = x_BTQD.shape[1]
        where = slice(here) if self.context is None else self.context.positions(here).to(x_BTQD.device)
        cos_TD = self.cos_TD[where, None].to(x_BTQD.dtype)
        sin_TD = self.sin_TD[where, None].to(x_BTQD.dtype)
        turned, passed = x_BTQD.split((self.width, x_BTQD.shape[-1] - self.width), dim=-1)
        first, second = turned.chunk(2, dim=-1)
        turned = turned * cos_TD + torch.cat((-second, first), dim=-1) * sin_TD
        return torch.cat((turned, passed), dim=-1) if passed.shape[-1] else turned


def scaled(frequency_D: torch.Tensor, scaling: RopeScalingSpec) -> torch.Tensor:
    """Lower frequencies, so that positions beyond those first trained on get angles that were seen."""
    slow_D = frequency_D / scaling.factor
    if scaling.kind == "linear":
        return slow_D
    low, high, positions = scaling.low_factor, scaling.high_factor, scaling.original_positions
    assert low is not None and high is not None and positions is not None, "rule UTK0150"
    # How many turns fit into the original length: few mean slow, many mean fast, between them a straight line.
    turns_D = positions * frequency_D / (2 * math.pi)
    share_D = ((turns_D - low) / (high - low)).clamp(0, 1)
    return (1 - share_D) * slow_D + share_D * frequency_D


def window_mask(positions: int, window: int, device: torch.device) -> torch.Tensor:
    """Which position [T] may look at which [T]: itself and the window - 1 before it."""
    back_TT = torch.arange(positions, device=device)[:, None] - torch.arange(positions, device=device)
    return (back_TT >= 0) & (back_TT < window)


class Attention(nn.Module):
    """Causal attention with grouped queries.

    Rows are packed without document masks: a story may look at the one before it in its row, which is harmless
    because the rows are made of independent texts, and it stays causal.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.head_dim, self.window = shape.head_dim, shape.window_size
        self.q = nn.Linear(shape.hidden, shape.heads * shape.head_dim, bias=shape.attention_bias)
        self.k = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=shape.attention_bias)
        self.v = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=shape.attention_bias)
        self.o = nn.Linear(shape.heads * shape.head_dim, shape.hidden, bias=False)
        self.q_norm = nn.RMSNorm(shape.head_dim, eps=shape.norm_epsilon) if shape.qk_norm else None
        self.k_norm = nn.RMSNorm(shape.head_dim, eps=shape.norm_epsilon) if shape.qk_norm else None

    def forward(self, x_BTH: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        q_BTQD = self.q(x_BTH).unflatten(-1, (-1, self.head_dim))
        k_BTKD = self.k(x_BTH).unflatten(-1, (-1, self.head_dim))
        v_BTKD = self.v(x_BTH).unflatten(-1, (-1, self.head_dim))
        if self.q_norm is not None and self.k_norm is not None:
            q_BTQD, k_BTKD = self.q_norm(q_BTQD), self.k_norm(k_BTKD)
        q_BTQD, k_BTKD = rotary(q_BTQD), rotary(k_BTKD)
        if rotary.context is not None:
            mixed_BQTD = rotary.context.attend(q_BTQD, k_BTKD, v_BTKD, self.window)
            return self.o(mixed_BQTD.transpose(1, 2).flatten(2))
        positions = q_BTQD.shape[1]
        windowed = self.window is not None and self.window < positions
        mixed_BQTD = F.scaled_dot_product_attention(
            q_BTQD.transpose(1, 2),
            k_BTKD.transpose(1, 2),
            v_BTKD.transpose(1, 2),
            attn_mask=window_mask(positions, self.window, q_BTQD.device) if windowed else None,
            is_causal=not windowed,
            enable_gqa=q_BTQD.shape[2] != k_BTKD.shape[2],
        )
        return self.o(mixed_BQTD.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """The gated MLP: down(silu(gate(x)) * up(x))."""

    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, intermediate, bias=False)
        self.up = nn.Linear(hidden, intermediate, bias=False)
        self.down = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x_BTH: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x_BTH)) * self.up(x_BTH))
