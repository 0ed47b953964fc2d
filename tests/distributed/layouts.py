"""Small jobs in every layout that the planner calls legal, for the tests of equality and of checkpoints."""

from collections.abc import Mapping
from functools import cache
from itertools import product
from math import prod
from typing import Any

import torch

from ultrathink_api.errors import Refused
from ultrathink_api.job import JobSpec
from ultrathink_api.sections.parallelism import ParallelismSpec
from ultrathink_planner import Mesh, Plan, plan

SIZES: dict[str, Any] = {
    "hidden": 32,
    "heads": 8,
    "kvHeads": 4,
    "headDim": 8,
    "intermediate": 48,
    "vocabulary": 320,
    "maxPositions": 32,
}
EIGHTS = {"layers": 8, "kvHeads": 8}
WIDE_ROWS, WIDE_LENGTH = 16, 16
"""With these every axis can be eight."""
EXPERTS = {"experts": 8, "topK": 2, "shared": 1, "intermediate": 16}
STAGES, ROWS = 2, 8
"""Layers and micro-batches: two show what one cannot, and a pipeline has one for every stage."""
LENGTH = 8

Layout = Mapping[str, int]
"""Sizes of the axes that are cut."""
ALONE: Layout = {}
LAYOUTS: dict[str, Layout] = {
    "data 2": {"data": 2},
    "data 4": {"data": 4},
    "tensor 2": {"tensor": 2},
    "tensor 4": {"tensor": 4},
    "pipeline 2": {"pipeline": 2},
    "pipeline 4": {"pipeline": 4},
    "data 2, tensor 2": {"data": 2, "tensor": 2},
    "pipeline 2, data 2": {"pipeline": 2, "data": 2},
    "pipeline 2, tensor 2": {"pipeline": 2, "tensor": 2},
    "context 2": {"context": 2},
    "context 4": {"context": 4},
    "context 2, tensor 2": {"context": 2, "tensor": 2},
    "data 2, context 2": {"data": 2, "context": 2},
}

AXES = tuple(name for name in Mesh.model_fields if name in ParallelismSpec.model_fields)
"""Every axis there is: one that is added to the mesh and to the spec is tested from then on."""
SPANNING = ("pipeline", "data", "context", "tensor")
"""Axes whose product is the number of ranks; the others borrow the ranks of these."""
WORLDS = (1, 2, 4, 8)
CORE_LARGEST = 24
"""Layouts that `make test` can afford."""


def ranks_of(layout: Layout) -> int:
    return prod(layout.get(axis, 1) for axis in SPANNING)


def name_of(layout: Layout) -> str:
    return ", ".join(f"{axis} {layout[axis]}" for axis in AXES if axis in layout) or "alone"


def job_plan(layout: Layout = ALONE, *, model: dict[str, Any] | None = None, **training: Any) -> Plan:
    """A plan of the same batch a step, whatever the layout; as small as shows what is to be shown."""
    stages = max(STAGES, layout.get("pipeline", 1))
    return _plan(layout, (ROWS, LENGTH), stages, {"layers": stages} | (model or {}), training)


def wide_plan(layout: Layout = ALONE, *, model: dict[str, Any] | None = None, **training: Any) -> Plan:
    """The same with more layers and rows, so that eight ranks can cut anything."""
    micro_batches = 4 if layout.get("pipeline", 1) > 1 else 2  # so that a pipeline of two or four stages is full
    return _plan(layout, (WIDE_ROWS, WIDE_LENGTH), micro_batches, EIGHTS | (model or {}), training)


def _plan(
    layout: Layout, size: tuple[int, int], micro_batches: int, model: dict[str, Any], training: dict[str, Any]
) -> Plan:
    rows, length = size
    spec = {
        "model": {"preset": "dense-tiny", **SIZES, **model},
        "data": {"uri": "builtin://stories", "sequenceLength": length},
        "training": {
            "steps": 4,
            "globalBatchTokens": rows * length,
            "microBatchSequences": rows // layout.get("data", 1) // micro_batches,
            "precision": "fp64",
            "schedule": {"name": "constant", "warmupSteps": 0},
            **training,
        },
        "workers": {"count": ranks_of(layout)},
        "parallelism": {"data": 1, **layout},
    }
    return plan(JobSpec.model_validate(spec))


def legal_layouts(model: dict[str, Any], **training: Any) -> list[Layout]:
    """All that the planner does not refuse for this model at 1, 2, 4 and 8 ranks, the smallest first."""
    found = []
    for sizes in product(WORLDS, repeat=len(AXES)):
        layout = {axis: size for axis, size in zip(AXES, sizes, strict=True) if size > 1}
        if ranks_of(layout) not in WORLDS:
            continue
        try:
            wide_plan(layout, model=model, **training)
        except Refused:
            continue
        found.append(layout)
    return sorted(found, key=lambda layout: (ranks_of(layout), layout.get("tensor", 1), name_of(layout)))


@cache
def core_layouts() -> dict[str, Layout]:
    """The layouts of `make test` by name: two ranks, four ranks, experts over four ranks on two axes, and three axes of
    two with experts."""
    legal = legal_layouts({"moe": EXPERTS})
    two = [layout for layout in legal if ranks_of(layout) == 2]
    four = [layout for layout in legal if ranks_of(layout) == 4 and "expert" not in layout]
    over_all = [layout for layout in legal if ranks_of(layout) == 4 == layout.get("expert") and len(layout) == 3]
    cubes = [layout for layout in legal if len(layout) == 4 and set(layout.values()) == {2} and "expert" in layout]
    return {name_of(layout): layout for layout in [*two, *four, *over_all, *cubes]}


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
