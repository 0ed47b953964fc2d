"""Adaptive compute: the formula against null experts written out, full effort bit by bit, the budget, the FLOPs."""

from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ultrathink_planner import DREShape, MoEShape
from ultrathink_trainer.model.auxiliary import StepFacts
from ultrathink_trainer.model.balance import move_balance, take_counts
from ultrathink_trainer.model.dre import effort_of_step, expert_flops, threshold, trained
from ultrathink_trainer.model.moe import MoE

torch.set_num_threads(1)

HIDDEN, TOKENS = 32, 256
EXPERTS = MoEShape(experts=8, top_k=4, shared=0, intermediate=16, router="softmax", norm_top_k=True, balance="bias")
DRE = DREShape(null_experts=4, effort=0.5, efforts=(0.5, 0.75, 1.0))


def layer(dre: DREShape | None = DRE, dtype: torch.dtype = torch.float32, **fields: object) -> MoE:
    moe = MoE(HIDDEN, EXPERTS.model_copy(update=fields), dre)
    generator = torch.Generator().manual_seed(0)
    for parameter in moe.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    moe.reset()
    return moe.to(dtype)


def at(moe: MoE, effort: float) -> MoE:
    moe.facts = StepFacts(tokens=TOKENS, rows=4, effort=effort)
    return moe


def tokens(seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(4, TOKENS // 4, HIDDEN, generator=torch.Generator().manual_seed(seed)).to(dtype)


def with_nulls(moe: MoE, x: torch.Tensor, value: float) -> torch.Tensor:
    """The formula with its null experts in the list, token by token."""
    rows = []
    for token in x.flatten(0, 1):
        scores = (moe.router.weight @ token).softmax(-1)
        wanted = [*(scores + moe.bias).tolist(), *[value] * DRE.null_experts]
        chosen = sorted(range(len(wanted)), key=lambda i: (-wanted[i], i))[: EXPERTS.top_k]
        best = sorted(range(EXPERTS.experts), key=lambda i: (-wanted[i], i))[: EXPERTS.top_k]
        y = torch.zeros_like(token)
        for expert in chosen:
            if expert < EXPERTS.experts:
                gate, up = (moe.experts.gate_up[expert] @ token).chunk(2)
                answer = moe.experts.down[expert] @ (torch.nn.functional.silu(gate) * up)
                y = y + scores[expert] / scores[best].sum() * answer
        rows.append(y)
    return torch.stack(rows).view_as(x)


def test_skipped_experts_are_those_that_null_experts_would_push_out() -> None:
    moe = at(layer(dtype=torch.float64), 0.5)
    moe.bias.copy_(torch.linspace(-0.02, 0.02, 8))
    moe.thresholds[0] = 0.15
    x = tokens(dtype=torch.float64)
    y = moe(x)
    torch.testing.assert_close(y, with_nulls(moe, x, 0.15), rtol=1e-12, atol=1e-12)
    assert 0 < moe.counts.sum() < TOKENS * EXPERTS.top_k


@pytest.mark.parametrize("dre", [DRE, DREShape(null_experts=0, effort=1.0, efforts=(1.0,))], ids=["nulls", "no nulls"])
def test_full_effort_changes_no_bit(dre: DREShape) -> None:
    results = []
    for moe in (layer(None), at(layer(dre), 1.0)):
        y = moe(tokens())
        y.square().sum().backward()
        results.append([y, *(parameter.grad for parameter in moe.parameters())])
    assert all(map(torch.equal, *results))


def test_a_token_without_any_expert_keeps_its_gradient_finite() -> None:
    moe = at(layer(), 0.5)
    moe.thresholds[0] = 2.0
    x = tokens().requires_grad_()
    y = moe(x)
    assert not y.any()
    y.sum().backward()
    assert all(not parameter.grad.any() for parameter in moe.experts.parameters())


def test_each_effort_keeps_its_budget() -> None:
    moe = layer()
    used: dict[float, list[float]] = {effort: [] for effort in DRE.efforts}
    for step in range(300):
        effort = effort_of_step(DRE, 0, step)
        at(moe, effort)(tokens(step))
        counts = take_counts([moe], None)
        assert counts is not None
        used[effort].append(counts.sent_LE.sum().item() / TOKENS)
        move_balance([moe], counts)
    for effort, experts in used.items():
        late = experts[len(experts) // 2 :]
        assert sum(late) / len(late) == pytest.approx(effort * EXPERTS.top_k, rel=0.02)


@pytest.mark.parametrize(("router", "first"), [("softmax", 0.0), ("sigmoid", 0.5)])
def test_a_threshold_begins_where_scores_begin(router: str, first: float) -> None:
    moe = at(layer(router=router), 0.5)
    assert moe.thresholds.tolist() == [first, first]
    torch.nn.init.zeros_(moe.router.weight)
    moe(tokens())
    assert moe.counts.sum() == TOKENS * EXPERTS.top_k, "a router that knows nothing skips nothing"


def test_training_takes_each_effort_equally_often_and_alike_everywhere() -> None:
    drawn = [effort_of_step(DRE, 3, step) for step in range(30)]
    assert all(sorted(drawn[i : i + 3]) == [0.5, 0.75, 1.0] for i in range(0, 30, 3))
    assert drawn == [effort_of_step(DRE, 3, step) for step in range(30)]
    assert drawn != [effort_of_step(DRE, 4, step) for step in range(30)]


def test_less_effort_is_never_more_compute() -> None:
    moe = layer().eval()
    moe.thresholds.copy_(torch.tensor([0.2, 0.1]))
    lowest = moe.bias.min()
    values = [threshold(DRE, moe.thresholds, effort / 100, lowest).item() for effort in range(50, 100)]
    assert all(low >= high for low, high in pairwise(values))
    assert trained(DRE) == [0.5, 0.75]


def test_the_flops_are_those_that_a_counter_sees() -> None:
    """In float64 experts run one by one, as plain products, which the counter knows."""
    moe = at(layer(dtype=torch.float64), 0.5)
    moe.thresholds[0] = 0.15
    with FlopCounterMode(display=False) as counter:
        moe(tokens(dtype=torch.float64).requires_grad_()).sum().backward()
    router = 3 * 2 * TOKENS * HIDDEN * EXPERTS.experts
    assert counter.get_total_flops() - router == expert_flops(int(moe.counts.sum()), HIDDEN, EXPERTS)
