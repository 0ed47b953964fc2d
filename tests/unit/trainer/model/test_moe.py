"""Experts: the kernel against a loop, the router's choices, gradients, balance and what is measured."""

import math

import pytest
import torch

from ultrathink_planner import MoEShape
from ultrathink_trainer.model.balance import BIAS_RATE, load_of, move_biases, take_counts
from ultrathink_trainer.model.kernels import grouped_linear, one_by_one
from ultrathink_trainer.model.moe import MoE

torch.set_num_threads(1)

HIDDEN = 32


def shape(**fields: object) -> MoEShape:
    base = MoEShape(experts=8, top_k=2, shared=1, intermediate=16, router="softmax", norm_top_k=True, balance="bias")
    return base.model_copy(update=fields)


def layer(dtype: torch.dtype = torch.float32, **fields: object) -> MoE:
    moe = MoE(HIDDEN, shape(**fields))
    generator = torch.Generator().manual_seed(0)
    for parameter in moe.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    moe.reset()
    return moe.to(dtype)


def tokens(count: int = 64, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(4, count // 4, HIDDEN, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("counts", [[10, 0, 7, 3], [0, 0, 0, 20], [5, 5, 5, 5]])
def test_the_grouped_kernel_equals_the_loop_of_experts(counts: list[int]) -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(20, HIDDEN, generator=generator, requires_grad=True)
    weight = torch.randn(4, 24, HIDDEN, generator=generator, requires_grad=True)
    upstream = torch.randn(20, 24, generator=generator)
    found, expected = (
        (result, *torch.autograd.grad(result, (rows, weight), upstream))
        for result in (kernel(rows, weight, torch.tensor(counts)) for kernel in (grouped_linear, one_by_one))
    )
    for ours, loops in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, loops, rtol=1e-5, atol=1e-5)


def test_a_whole_layer_in_float32_equals_the_loop_in_float64() -> None:
    single, double = layer(), layer(torch.float64)
    x = tokens()
    y = single(x)
    y.sum().backward()  # an expanded gradient, which grouped_mm itself refuses
    z = double(x.double())
    z.sum().backward()
    torch.testing.assert_close(y.double(), z, rtol=1e-4, atol=1e-5)
    for (name, ours), theirs in zip(single.named_parameters(), double.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_router_and_experts_get_gradients() -> None:
    moe = layer()
    moe(tokens()).square().sum().backward()
    for name, parameter in moe.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    used = moe.counts > 0
    assert torch.equal(moe.experts.gate_up.grad.abs().sum((1, 2)) > 0, used)
    assert torch.equal(moe.experts.down.grad.abs().sum((1, 2)) > 0, used)


def test_ties_go_to_the_lower_expert() -> None:
    moe = layer()
    torch.nn.init.zeros_(moe.router.weight)
    _, chosen_NS = moe.router(tokens().flatten(0, 1), moe.bias)
    assert torch.equal(chosen_NS, torch.tensor([[0, 1]]).expand(64, 2))


def test_the_bias_moves_the_choice_but_not_the_weights() -> None:
    moe = layer(norm_top_k=False)
    x = tokens().flatten(0, 1)
    scores_NE = torch.nn.functional.linear(x, moe.router.weight).softmax(-1)
    moe.bias[5] = 10.0
    weights_NS, chosen_NS = moe.router(x, moe.bias)
    assert (chosen_NS[:, 0] == 5).all()
    torch.testing.assert_close(weights_NS, scores_NE.gather(1, chosen_NS))


@pytest.mark.parametrize("router", ["softmax", "sigmoid"])
def test_normalised_weights_add_up_to_one(router: str) -> None:
    moe = layer(router=router)
    weights_NS, _ = moe.router(tokens().flatten(0, 1), moe.bias)
    torch.testing.assert_close(weights_NS.sum(-1), torch.ones(64))


def test_without_a_shared_expert_there_are_no_parameters_of_one() -> None:
    assert not [name for name, _ in layer(shared=0).named_parameters() if name.startswith("shared")]


def test_every_row_is_counted_in_training_and_none_in_evaluation() -> None:
    moe = layer()
    moe(tokens())
    moe(tokens())
    assert moe.counts.sum() == 2 * 64 * 2
    counts_LE = take_counts([moe], None)
    assert counts_LE is not None
    assert counts_LE.dtype == torch.int64
    assert moe.counts.sum() == 0
    moe.eval()(tokens())
    assert moe.counts.sum() == 0


def test_balance_lifts_the_idle_and_lowers_the_busy_and_stays_centred() -> None:
    moe = layer(experts=4)
    move_biases([moe], torch.tensor([[40, 20, 20, 0]]))
    torch.testing.assert_close(moe.bias, torch.tensor([-1.0, 0.0, 0.0, 1.0]) * BIAS_RATE)
    move_biases([moe], torch.tensor([[70, 4, 3, 3]]))
    assert moe.bias.sum().item() == pytest.approx(0.0, abs=1e-9)
    assert moe.bias.argmin() == 0


def test_balance_evens_out_a_lopsided_router() -> None:
    moe = layer(top_k=1, norm_top_k=False)
    x = tokens(512)
    x[..., 0] = 1.0
    moe.router.weight.data[:, 0] = torch.linspace(-1.0, 1.0, 8)  # every token leans the same way
    spread = []
    for _ in range(400):
        moe(x)
        counts_LE = take_counts([moe], None)
        assert counts_LE is not None
        spread.append(load_of(counts_LE, 512).max_load)
        move_biases([moe], counts_LE)
    assert spread[0] > 2.0
    assert spread[-1] < 1.1


def test_without_balance_there_is_no_bias() -> None:
    moe = layer(balance="none")
    assert moe.bias is None
    assert "bias" not in moe.state_dict()
    move_biases([moe], torch.ones(1, 8, dtype=torch.int64))


def test_load_names_the_worst_layer() -> None:
    counts_LE = torch.tensor([[4, 4, 4, 4], [8, 8, 0, 0], [4, 4, 4, 2]])
    load = load_of(counts_LE, 16)
    assert load.entropy == pytest.approx(math.log(2) / math.log(4))
    assert load.max_load == pytest.approx(2.0)
    assert load.dead == 2
    assert load.dropped == pytest.approx(2 / 16)
