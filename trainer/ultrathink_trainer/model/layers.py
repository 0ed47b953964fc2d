"""What every block is made of: rotary positions, attention and the SwiGLU MLP."""

import torch
import torch.nn.functional as F
from torch import nn

from ultrathink_planner import ModelShape

# Shapes: B rows, T positions, H hidden, F intermediate, Q query heads, K key/value heads, D head dimension.
# Under tensor parallelism Q, K and F are this rank's share; the code reads them from its tensors.


class Rotary(nn.Module):
    """Angles of rotary positions, computed once in float32; buffers that no checkpoint holds."""

    cos_TD: torch.Tensor
    sin_TD: torch.Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.head_dim, self.theta = shape.head_dim, shape.rope_theta
        size = (shape.max_positions, shape.head_dim)
        self.register_buffer("cos_TD", torch.empty(size), persistent=False)
        self.register_buffer("sin_TD", torch.empty(size), persistent=False)

    def reset(self) -> None:
        """Fill the buffers; called once the model left the meta device."""
        device = self.cos_TD.device
        frequency_D = self.theta ** -(torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim)
        angle_TD = torch.outer(torch.arange(len(self.cos_TD), dtype=torch.float32), frequency_D).repeat(1, 2)
        self.cos_TD = angle_TD.cos().to(device)
        self.sin_TD = angle_TD.sin().to(device)

    def forward(self, x_BTQD: torch.Tensor) -> torch.Tensor:
        positions = x_BTQD.shape[1]
        cos_TD = self.cos_TD[:positions, None].to(x_BTQD.dtype)
        sin_TD = self.sin_TD[:positions, None].to(x_BTQD.dtype)
        first, second = x_BTQD.chunk(2, dim=-1)
        return x_BTQD * cos_TD + torch.cat((-second, first), dim=-1) * sin_TD


class Attention(nn.Module):
    """Causal attention with grouped queries.

    Rows are packed without document masks: a story may look at the one before it in its row, which is harmless
    because the rows are made of independent texts, and it stays causal.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.q = nn.Linear(shape.hidden, shape.heads * shape.head_dim, bias=False)
        self.k = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.v = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=False)
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
        mixed_BQTD = F.scaled_dot_product_attention(
            q_BTQD.transpose(1, 2),
            k_BTKD.transpose(1, 2),
            v_BTKD.transpose(1, 2),
            is_causal=True,
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
