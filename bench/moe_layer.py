"""Forward and backward of one MoE layer against transformers' own, grouped and eager: python -m bench.moe_layer.

Both layers hold the same weights and see the same tokens; their answers are compared before anything is timed.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from bench.layer import FEW, HIDDEN, MANY, PAIRS, TOKENS, Size, Step, step_of
from bench.report import report
from torch.profiler import ProfilerActivity, profile
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from ultrathink_planner import MoEShape
from ultrathink_trainer.model.moe import MoE

NAME = "moe_layer"
THREADS = 2
MEMORY_GOAL = 0.8
"""Peak of a step over eager's."""
CLOSE = 1e-4
"""Of answers and gradients, in float32."""


@dataclass(frozen=True)
class Case:
    """How many times as fast as transformers' two ways a layer of that size should be."""

    size: Size
    goal: float
    eager_goal: float


CASES = (Case(FEW, 1.15, 1.7), Case(MANY, 1.25, 15.0))


def theirs_of(size: Size, way: str) -> MixtralSparseMoeBlock:
    config = MixtralConfig(
        hidden_size=HIDDEN,
        intermediate_size=size.intermediate,
        num_local_experts=size.experts,
        num_experts_per_tok=size.top_k,
        experts_implementation=way,
    )
    return MixtralSparseMoeBlock(config).train()


def ours_like(size: Size, theirs: MixtralSparseMoeBlock) -> MoE:
    shape = MoEShape(
        experts=size.experts,
        top_k=size.top_k,
        shared=0,
        intermediate=size.intermediate,
        router="softmax",
        norm_top_k=True,
        balance="none",
    )
    layer = MoE(HIDDEN, shape)
    layer.reset()
    with torch.no_grad():
        layer.router.weight.copy_(theirs.gate.weight)
        layer.experts.gate_up.copy_(theirs.experts.gate_up_proj)
        layer.experts.down.copy_(theirs.experts.down_proj)
    return layer.train()


def peak_bytes(step: Step) -> int:
    """What a step holds at most beyond what it found, gradients included."""
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    held = peak = 0
    for event in seen.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def matrix_share(step: Step) -> float:
    """How much of a step are matrix products: what nobody's code around them can make faster."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    spent = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    return spent["aten::mm"] / sum(spent.values())


def seconds(step: Step) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def measure_case(case: Case, pairs: int) -> dict[str, Any]:
    torch.manual_seed(0)
    eager, grouped = theirs_of(case.size, "eager"), theirs_of(case.size, "grouped_mm")
    with torch.no_grad():
        for parameter in eager.parameters():
            parameter.normal_(0, 0.05)
    grouped.load_state_dict(eager.state_dict())
    ours = ours_like(case.size, eager)
    x_BTH = torch.randn(1, TOKENS, HIDDEN, requires_grad=True)
    grad_BTH = torch.randn(1, TOKENS, HIDDEN)
    steps = {
        name: step_of(layer, grad_BTH, x_BTH)
        for name, layer in (("ours", ours), ("grouped", grouped), ("eager", eager))
    }
    check(steps, x_BTH, ours, grouped)
    for step in steps.values():
        for _ in range(3):
            step()
    rows = [{name: seconds(step) for name, step in steps.items()} for _ in range(pairs)]
    memory = {name: peak_bytes(step) for name, step in steps.items()}
    ratio = statistics.median(row["grouped"] / row["ours"] for row in rows)
    eager_ratio = statistics.median(row["eager"] / row["ours"] for row in rows)
    memory_ratio = memory["ours"] / memory["eager"]
    return {
        "case": str(case.size),
        "ratio": round(ratio, 3),
        "goal": case.goal,
        "eagerRatio": round(eager_ratio, 3),
        "eagerGoal": case.eager_goal,
        "peakBytes": memory,
        "memoryRatio": round(memory_ratio, 3),
        "memoryGoal": MEMORY_GOAL,
        "matrixShare": {
            name: round(statistics.median(matrix_share(step) for _ in range(5)), 3) for name, step in steps.items()
        },
        "ok": ratio >= case.goal and eager_ratio >= case.eager_goal and memory_ratio <= MEMORY_GOAL,
        "pairs": [{name: round(value, 5) for name, value in row.items()} for row in rows],
    }


def check(steps: dict[str, Step], x_BTH: torch.Tensor, ours: MoE, theirs: MixtralSparseMoeBlock) -> None:
    """A layer that computes something else is not faster."""
    torch.testing.assert_close(ours(x_BTH), theirs(x_BTH), atol=CLOSE, rtol=CLOSE)
    gradients = []
    for name, layer in (("ours", ours), ("grouped", theirs)):
        steps[name]()
        assert x_BTH.grad is not None
        down = layer.experts.down if name == "ours" else layer.experts.down_proj
        gradients.append((x_BTH.grad.clone(), down.grad.clone()))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=CLOSE, rtol=CLOSE)


def main() -> int:
    """0 if all goals were met."""
    torch.set_num_threads(THREADS)
    cases = [measure_case(case, PAIRS) for case in CASES]
    row = "\n".join(
        f"| MoE layer {case['case']} | {case['ratio']:.2f}x grouped_mm (goal {case['goal']}), "
        f"{case['eagerRatio']:.1f}x eager (goal {case['eagerGoal']}), peak memory {case['memoryRatio']:.2f}x "
        f"(goal {case['memoryGoal']}), matrix products "
        f"{case['matrixShare']['ours']:.0%} of the time | {'ok' if case['ok'] else 'missed'} |"
        for case in cases
    )
    worst = min(cases, key=lambda case: case["ratio"] / case["goal"])
    return report(
        NAME,
        row,
        {
            "ratio": worst["ratio"],
            "goal": worst["goal"],
            "ok": all(case["ok"] for case in cases),
            "pairs": worst["pairs"],
            "cases": cases,
            "threads": THREADS,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
