"""Small jobs in every layout, for the tests of equality and of checkpoints."""

from typing import Any

import torch

from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, plan

SIZES: dict[str, Any] = {
    "layers": 4,
    "hidden": 32,
    "heads": 8,
    "kvHeads": 4,
    "headDim": 8,
    "intermediate": 48,
    "vocabulary": 320,
    "maxPositions": 32,
}
EXPERTS = {"experts": 8, "topK": 2, "shared": 1, "intermediate": 16}
MICRO_BATCHES = 4

LAYOUTS = {
    # name: (pipeline, data, tensor)
    "data 2": (1, 2, 1),
    "data 4": (1, 4, 1),
    "tensor 2": (1, 1, 2),
    "tensor 4": (1, 1, 4),
    "pipeline 2": (2, 1, 1),
    "pipeline 4": (4, 1, 1),
    "data 2, tensor 2": (1, 2, 2),
    "pipeline 2, data 2": (2, 2, 1),
    "pipeline 2, tensor 2": (2, 1, 2),
}
ALONE = (1, 1, 1)


def job_plan(layout: tuple[int, int, int] = ALONE, *, model: dict[str, Any] | None = None, **training: Any) -> Plan:
    """A plan of four micro-batches a step, whatever the layout."""
    pipeline, data, tensor = layout
    rows, length = 16, 8
    spec = {
        "model": {"preset": "dense-tiny", **SIZES, **(model or {})},
        "data": {"uri": "builtin://stories", "sequenceLength": length},
        "training": {
            "steps": 4,
            "globalBatchTokens": rows * length,
            "microBatchSequences": rows // data // MICRO_BATCHES,
            "precision": "fp64",
            "schedule": {"name": "constant", "warmupSteps": 0},
            **training,
        },
        "workers": {"count": pipeline * data * tensor},
        "parallelism": {"pipeline": pipeline, "data": data, "tensor": tensor},
    }
    return plan(JobSpec.model_validate(spec))


def random_batches(plan: Plan, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(tokens, labels) of whole batches; labels are ragged, one row has none."""
    generator = torch.Generator().manual_seed(7)
    shape = (plan.batch.rows, plan.batch.sequence_length)
    batches = []
    for _ in range(count):
        tokens, labels = (torch.randint(plan.model.vocabulary, shape, generator=generator) for _ in range(2))
        for row in range(plan.batch.rows):
            labels[row, (row * 5) % (shape[1] + 1) :] = -100
        batches.append((tokens, labels))
    return batches
