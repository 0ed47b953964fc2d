"""What a rank does to itself when a fault is asked for: real signals, real NaN, a real refusal of the allocator."""

import os
import signal
from typing import Any

import torch
from torch import nn

BLOWS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP}
"""It is gone, or it stands still."""
IMPOSSIBLE_BYTES = 1 << 50
"""No machine has a pebibyte for one tensor: its allocator refuses as it does when memory is short."""


def strike(kind: str, model: nn.Module, device: torch.device) -> None:
    """Called at the start of the step; a signal does not return."""
    if kind in BLOWS:
        os.kill(os.getpid(), BLOWS[kind])
    elif kind == "nan":
        poison(model)
    elif kind == "oom":
        torch.empty(IMPOSSIBLE_BYTES, dtype=torch.uint8, device=device)


def poison(model: nn.Module) -> None:
    """The next forward gives NaN, and so do the loss and every gradient behind it; the parameters stay whole."""

    def spoil(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        hook.remove()
        return output * float("nan")

    hook = model.register_forward_hook(spoil)
