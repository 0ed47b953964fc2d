"""AdamW on the shards that this rank holds.

The update is element by element, so it runs on plain local tensors: no DTensor dispatch, no collective, and state that
has the layout of its parameter.
"""

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from ultrathink_api.sections.training import OptimizerSpec

MOMENTS = ("exp_avg", "exp_avg_sq")


def shard_of(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part, sharing storage with the whole."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


class AdamW:
    """Decoupled weight decay on matrices; norms and other vectors do not decay."""

    def __init__(self, model: nn.Module, spec: OptimizerSpec) -> None:
        assert spec.lr is not None, "the planner resolves the rate"
        self.parameters = dict(model.named_parameters())
        self.shards = {name: shard_of(p.detach()) for name, p in self.parameters.items()}
        matrices = [shard for name, shard in self.shards.items() if self.parameters[name].ndim > 1]
        vectors = [shard for name, shard in self.shards.items() if self.parameters[name].ndim <= 1]
        groups = [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.torch = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=spec.lr,
            betas=(spec.beta1, spec.beta2),
            eps=spec.epsilon,
            fused=True,
        )
        for shard in self.shards.values():  # made now, so that a checkpoint can be read into it
            self.torch.state[shard] = {
                "step": torch.zeros((), dtype=torch.float32, device=shard.device),
                **{moment: torch.zeros_like(shard) for moment in MOMENTS},
            }

    def step(self, lr: float) -> None:
        """One update with the gradients as they are."""
        for group in self.torch.param_groups:
            group["lr"] = lr
        for name, shard in self.shards.items():
            grad = self.parameters[name].grad
            assert grad is not None, f"{name} took no part in this step"
            shard.grad = shard_of(grad)
        self.torch.step()

    def clear(self) -> None:
        """Forget the gradients."""
        for name, parameter in self.parameters.items():
            parameter.grad = self.shards[name].grad = None

    def moments(self) -> dict[str, torch.Tensor]:
        """The state's tensors by `optimizer.<parameter>.<moment>`, laid out as their parameters are."""
        return {
            f"optimizer.{name}.{moment}": like(parameter, self.torch.state[self.shards[name]][moment])
            for name, parameter in self.parameters.items()
            for moment in MOMENTS
        }

    @property
    def updates(self) -> int:
        """Updates made so far: fewer than steps where a step was skipped."""
        return int(next(iter(self.torch.state.values()))["step"].item())

    @updates.setter
    def updates(self, count: int) -> None:
        for state in self.torch.state.values():
            state["step"].fill_(count)


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
