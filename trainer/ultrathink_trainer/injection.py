"""What a rank does to itself when a fault is asked for: real signals, real NaN, real refusals and delays."""

import os
import signal
import time
from typing import Any

import torch
from torch import nn

BLOWS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP}
"""It is gone, or it stands still."""
BLEMISHES = frozenset({"nan", "slow", "oom"})
"""It goes on, and what it computes or how is not what it was."""
SLOW_SECONDS = 0.2
"""Of each forward from then on: a multiple of what a small model takes, and little beside the time for a hang."""
IMPOSSIBLE_BYTES = 1 << 50
"""No machine has a pebibyte for one tensor: its allocator refuses as it does when memory is short."""


def strike(kind: str) -> None:
    """By a signal; it does not return."""
    os.kill(os.getpid(), BLOWS[kind])


def spoil(kind: str, model: nn.Module, device: torch.device) -> None:
    """Called before the step computes anything."""
    if kind == "nan":
        poison(model)
    elif kind == "slow":
        slow_down(model)
    elif kind == "oom":
        torch.empty(IMPOSSIBLE_BYTES, dtype=torch.uint8, device=device)


def poison(model: nn.Module) -> None:
    """The next forward gives NaN, and so do the loss and every gradient behind it; the parameters stay whole."""

    def spoil(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        hook.remove()
        return output * float("nan")

    hook = model.register_forward_hook(spoil)


def slow_down(model: nn.Module) -> None:
    """Every forward takes longer from now on, as on a core or a chip that is throttled."""
    model.register_forward_pre_hook(lambda module, inputs: time.sleep(SLOW_SECONDS))
