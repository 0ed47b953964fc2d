"""What optimizers have in common: they work on the plain local part of each parameter, and keep state laid out as the
parameter is."""

import torch
from torch import nn
from torch.distributed.tensor import DTensor

Parameters = dict[str, nn.Parameter]


def shard_of(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part, sharing storage with the whole."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def like(parameter: torch.Tensor, shard: torch.Tensor) -> torch.Tensor:
    """A shard seen as a part of the whole, as its parameter is."""
    if not isinstance(parameter, DTensor):
        return shard
    return DTensor.from_local(
        shard,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


class Shards:
    """Parameters by name, this rank's part of each, and the state of it by moment."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.shards = {name: shard_of(p.detach()) for name, p in parameters.items()}
        self.state: dict[str, dict[str, torch.Tensor]] = {}
        self.updates = 0
        """Made so far: fewer than steps where a step was skipped."""

    def gradient(self, name: str) -> torch.Tensor:
        grad = self.parameters[name].grad
        assert grad is not None, f"{name} took no part in this step"
        return shard_of(grad)

    def decay(self, name: str, rate: float) -> None:
        """Decoupled weight decay on matrices; norms and other vectors do not decay."""
        if self.parameters[name].ndim > 1:
            self.shards[name].mul_(1 - rate)

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def moments(self) -> dict[str, torch.Tensor]:
        """The state's tensors by `optimizer.<parameter>.<moment>`, laid out as their parameters are."""
        return {
            f"optimizer.{name}.{moment}": like(self.parameters[name], tensor)
            for name, state in self.state.items()
            for moment, tensor in state.items()
        }
