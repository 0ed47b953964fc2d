"""How much of the expert FLOPs that adaptive compute saves is seen as expert time: python -m bench.dre_time.

Forward and backward of one layer at full effort and at less, in turns; experts alone, and the layer with its router.
"""

import statistics
import sys
import time
from typing import Any

import torch
from bench.layer import FEW, HIDDEN, MANY, PAIRS, TOKENS, Size, Step, step_of
from bench.report import report

from ultrathink_planner import DREShape, MoEShape
from ultrathink_trainer.model.auxiliary import StepFacts
from ultrathink_trainer.model.moe import MoE

NAME = "dre_time"
GOAL = 0.85
EFFORT = 0.7
WARM = 3
THREADS = 1
"""So that a step's CPU time is its own time, however busy the machine is."""


def layer_of(size: Size, x_BTH: torch.Tensor) -> MoE:
    """With the threshold at which just so many slots reach it."""
    moe = MoEShape(
        experts=size.experts,
        top_k=size.top_k,
        shared=0,
        intermediate=size.intermediate,
        router="sigmoid",
        norm_top_k=True,
        balance="bias",
    )
    layer = MoE(HIDDEN, moe, DREShape(null_experts=size.top_k, effort=EFFORT, efforts=(EFFORT,)))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, HIDDEN**-0.5)
        layer.reset()
        wanted = layer.router(x_BTH.flatten(0, 1), layer.bias).wanted_NS.flatten().sort(descending=True).values
        layer.thresholds[0] = wanted[int(len(wanted) * EFFORT) - 1]
    return layer.train()


def layer_step(layer: MoE, x_BTH: torch.Tensor, grad_BTH: torch.Tensor, effort: float) -> Step:
    """Forward and backward of the whole layer, its router too."""

    forth_and_back = step_of(layer, grad_BTH, x_BTH)

    def step() -> None:
        layer.facts = StepFacts(tokens=TOKENS, rows=1, effort=effort)
        forth_and_back()

    return step


def experts_step(layer: MoE, step: Step) -> tuple[Step, int]:
    """The same of the experts alone, on the rows that this step gave them; and how many those were."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = layer.experts.register_forward_pre_hook(lambda _, given: seen.append(given))
    step()
    hook.remove()
    x_RH, counts_E = seen[0][0].detach().requires_grad_(), seen[0][1]
    return step_of(layer.experts, torch.randn_like(x_RH), x_RH, counts_E), len(x_RH)


def cpu_seconds(step: Step) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


def pairs_of(full: Step, less: Step) -> list[tuple[float, float]]:
    for _ in range(WARM):
        full()
        less()
    return [(cpu_seconds(full), cpu_seconds(less)) for _ in range(PAIRS)]


def measure(size: Size) -> dict[str, Any]:
    torch.manual_seed(0)
    x_BTH, grad_BTH = torch.randn(1, TOKENS, HIDDEN, requires_grad=True), torch.randn(1, TOKENS, HIDDEN)
    layer = layer_of(size, x_BTH)
    whole = [layer_step(layer, x_BTH, grad_BTH, effort) for effort in (1.0, EFFORT)]
    (full, all_rows), (less, rows) = (experts_step(layer, step) for step in whole)
    saved = 1 - rows / all_rows

    def realised(pairs: list[tuple[float, float]]) -> float:
        return round(statistics.median((1 - short / long) / saved for long, short in pairs), 3)

    experts_pairs, layer_pairs = pairs_of(full, less), pairs_of(*whole)
    return {
        "case": str(size),
        "flopsSaved": round(saved, 4),
        "realised": realised(experts_pairs),
        "realisedOfWholeLayer": realised(layer_pairs),
        "pairs": [[round(value, 5) for value in pair] for pair in experts_pairs],
        "layerPairs": [[round(value, 5) for value in pair] for pair in layer_pairs],
    }


def measured_times() -> list[dict[str, Any]]:
    """Of each size, the median over pairs of (time saved / FLOPs saved)."""
    torch.set_num_threads(THREADS)
    return [measure(size) for size in (FEW, MANY)]


def main() -> int:
    """0 if the goal was met by the larger experts; how small ones fare is told."""
    times = measured_times()
    row = "\n".join(
        f"| DRE at effort {EFFORT}, {case['case']} | realised / ideal expert time {case['realised']:.2f} "
        f"(goal {GOAL}), of the layer with its router {case['realisedOfWholeLayer']:.2f} | "
        f"{'ok' if case['realised'] >= GOAL else 'missed'} |"
        for case in times
    )
    realised = times[0]["realised"]
    return report(NAME, row, {"ratio": realised, "goal": GOAL, "ok": realised >= GOAL, "cases": times})


if __name__ == "__main__":
    sys.exit(main())
