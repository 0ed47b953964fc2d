"""Plans and problems as programs read them: the machine-readable contract, in one place."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultrathink_api.errors import Problem
    from ultrathink_planner import Plan

API_VERSION = "utk/v1"


def report(kind: str, **content: Any) -> dict[str, Any]:
    """An object of the command line: versioned, so that programs can rely on its fields."""
    return {"apiVersion": API_VERSION, "kind": kind, **content}


def problem_list(problems: "Iterable[Problem]") -> list[dict[str, str]]:
    """Problems as JSON."""
    return [problem.dump() for problem in problems]


def plan_report(name: str, plan: "Plan") -> dict[str, Any]:
    """What `utk plan -o json` says. What is not known (time, activations, price) is left out, never zero."""
    said = plan.dump()
    per_rank = [
        {"stage": rank.pop("stage"), "layers": [stage["firstLayer"], stage["lastLayer"]], "memoryBytes": rank}
        for rank, stage in zip(said.pop("perRank"), said.pop("stages"), strict=True)
    ]
    checkpoint = said.pop("checkpoint")
    interval = {
        name: checkpoint[key]
        for name, key in (("intervalSteps", "everySteps"), ("intervalSeconds", "everySeconds"))
        if key in checkpoint
    }
    return report(
        "Plan",
        name=name,
        worldSize=said.pop("worldSize"),
        mesh=said.pop("mesh"),
        parameters=said.pop("parameters"),
        perRank=per_rank,
        checkpoint={"bytes": checkpoint_bytes(plan), **interval, "graceSeconds": checkpoint["graceSeconds"]},
        **said,
    )


def checkpoint_bytes(plan: "Plan") -> int:
    """Bytes of the tensors in one checkpoint: parameters and the optimizer's state of them."""
    from ultrathink_planner.layout import ADAMW_MOMENTS, ADAMW_STEP_BYTES, BYTES
    from ultrathink_planner.parameters import parameters

    held = list(parameters(plan.model))
    elements = sum(parameter.count for parameter in held)
    return elements * BYTES[plan.precision] * (1 + ADAMW_MOMENTS) + ADAMW_STEP_BYTES * len(held)
