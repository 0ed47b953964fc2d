"""Lion: the sign of a momentum, so that one moment is enough (Chen et al., 2023, algorithm 2)."""

import torch

from ultrathink_api.sections.training import OptimizerSpec

from .shards import Parameters, Shards


class Lion(Shards):
    """Each element moves by the learning rate; beta1 mixes the gradient into the step, beta2 into the momentum."""

    def __init__(self, parameters: Parameters, spec: OptimizerSpec) -> None:
        super().__init__(parameters)
        self.spec = spec
        self.state = {name: {"exp_avg": torch.zeros_like(shard)} for name, shard in self.shards.items()}

    def step(self, lr: float) -> None:
        """One update with the gradients as they are."""
        for name, shard in self.shards.items():
            gradient, momentum = self.gradient(name), self.state[name]["exp_avg"]
            self.decay(name, lr * self.spec.weight_decay)
            shard.add_(momentum.lerp(gradient, 1 - self.spec.beta1).sign_(), alpha=-lr)
            momentum.lerp_(gradient, 1 - self.spec.beta2)
        self.updates += 1
