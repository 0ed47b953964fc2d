"""Jobs drawn at random, and the planner's memory of one beside what torch's tracker counts."""

import random
from dataclasses import dataclass
from typing import Any

from distributed.tracked import step_peak
from ultrathink_api.errors import Refused
from ultrathink_api.job import JobSpec
from ultrathink_planner import CATALOGUE, Plan, fit, plan

MOST_RANKS = 10
"""As a power of two."""


@dataclass(frozen=True)
class Compared:
    """Bytes at the fullest moment of a step, beside parameters and optimizer state, which are exact."""

    plan: Plan
    stage: int
    planned: int
    tracked: int
    fixed: int

    @property
    def error(self) -> float:
        return self.planned / self.tracked - 1

    def false_fits(self) -> list[str]:
        """Devices that the plan says it fits, and does not."""
        held = self.tracked + self.fixed
        fitting = (name for name, one in CATALOGUE.items() if fit(self.plan, one).fits)
        return [name for name in fitting if CATALOGUE[name].memory_bytes < held]


def compare(made: Plan, stage: int) -> Compared:
    """One stage's first rank under the tracker."""
    held = made.per_rank[stage].memory_bytes
    assert held.fullest is not None
    fixed = held.parameters + held.optimizer
    return Compared(made, stage, held.fullest - fixed, step_peak(made, stage, accelerator=True) - fixed, fixed)


def drawn(seed: int) -> tuple[Plan, int]:
    """A legal plan for up to 1,024 GPUs, and one of its stages."""
    rng = random.Random(seed)
    while True:
        try:
            made = plan(JobSpec.model_validate(_spec(rng)))
        except Refused:
            continue
        return made, rng.randrange(len(made.stages))


def _spec(rng: random.Random) -> dict[str, Any]:
    experts = rng.random() < 0.5
    key_value = rng.choice([2, 4, 8])
    model: dict[str, Any] = {
        "layers": rng.choice([2, 3, 4]),
        "hidden": rng.choice([512, 1024, 2048, 4096]),
        "heads": key_value * rng.choice([1, 2, 4]),
        "kvHeads": key_value,
        "headDim": rng.choice([64, 128]),
        "intermediate": rng.choice([2048, 4096, 8192]),
        "vocabulary": rng.choice([32_000, 50_304, 128_256]),
        "maxPositions": 8192,
        "qkNorm": rng.random() < 0.3,
        "attentionBias": rng.random() < 0.2,
        "postNorms": rng.random() < 0.2,
        "ropeFraction": rng.choice([1.0, 1.0, 0.5]),
    }
    world = 2 ** rng.randint(0, MOST_RANKS)
    axes, left = {}, world
    for axis, sizes in (("tensor", [1, 1, 1, 2, 4, 8]), ("pipeline", [1, 1, 2, 4]), ("context", [1, 1, 1, 2, 4])):
        axes[axis] = rng.choice([size for size in sizes if left % size == 0])
        left //= axes[axis]
    if experts:
        model["moe"] = {
            "experts": rng.choice([8, 16, 32, 64]),
            "topK": rng.choice([2, 4, 8]),
            "shared": rng.choice([0, 1]),
            "intermediate": rng.choice([256, 512, 1024]),
            "balance": rng.choice(["bias", "global", "none", "micro"]),
            "router": rng.choice(["softmax", "sigmoid"]),
        }
        axes["expert"] = rng.choice([1, 2, 4, 8])
    length, machine = rng.choice([1024, 2048, 4096]), min(8, world)
    return {
        "model": model,
        "data": {"uri": "builtin://stories", "sequenceLength": length},
        "training": {
            "steps": 1,
            # The tracker's fake grouped_mm takes bf16 alone.
            "precision": "bf16" if experts else rng.choice(["bf16", "bf16", "fp16", "fp32"]),
            "globalBatchTokens": left * rng.choice([1, 2, 4]) * length,
            "activationCheckpointing": rng.random() < 0.5,
            "microBatchSequences": rng.choice([1, 1, 2]),
        },
        "parallelism": axes,
        "workers": {"count": world // machine, "gpus": machine},
        "checkpoint": {"uri": "file:///nowhere"},
    }
