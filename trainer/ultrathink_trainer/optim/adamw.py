"""AdamW by torch's fused kernel.

The update is element by element, so it runs on plain local tensors: no DTensor dispatch, no collective.
"""

import torch

from ultrathink_api.sections.training import OptimizerSpec

from .shards import Parameters, Shards

MOMENTS = ("exp_avg", "exp_avg_sq")


class AdamW(Shards):
    """Decoupled weight decay on matrices."""

    def __init__(self, parameters: Parameters, spec: OptimizerSpec) -> None:
        super().__init__(parameters)
        assert spec.lr is not None, "the planner resolves the rate"
        matrices = [shard for name, shard in self.shards.items() if parameters[name].ndim > 1]
        vectors = [shard for name, shard in self.shards.items() if parameters[name].ndim <= 1]
        groups = [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.torch = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=spec.lr,
            betas=(spec.beta1, spec.beta2),
            eps=spec.epsilon,
            fused=True,
        )
        for name, shard in self.shards.items():  # made now, so that a checkpoint can be read into it
            self.state[name] = {moment: torch.zeros_like(shard) for moment in MOMENTS}
            self.torch.state[shard] = {
                "step": torch.zeros((), dtype=torch.float32, device=shard.device),
                **self.state[name],
            }

    def step(self, lr: float) -> None:
        """One update with the gradients as they are."""
        for group in self.torch.param_groups:
            group["lr"] = lr
        for name, shard in self.shards.items():
            shard.grad = self.gradient(name)
            self.torch.state[shard]["step"].fill_(self.updates)
        self.torch.step()
        self.updates += 1

    def clear(self) -> None:
        super().clear()
        for shard in self.shards.values():
            shard.grad = None
