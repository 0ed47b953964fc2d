"""Experts: the kernel against a loop, the router's choices, gradients, balance and what is measured."""

import math

import pytest
import torch

from ultrathink_planner import MoEShape
from ultrathink_trainer.model.auxiliary import StepFacts
from ultrathink_trainer.model.balance import BIAS_RATE, Counts, load_of, move_balance, take_counts
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


def sent(rows: list[list[int]]) -> Counts:
    return Counts(torch.tensor(rows), torch.tensor(rows))


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
    choice = moe.router(tokens().flatten(0, 1), moe.bias)
    assert torch.equal(choice.chosen_NS, torch.tensor([[0, 1]]).expand(64, 2))


def test_the_bias_moves_the_choice_but_not_the_weights() -> None:
    moe = layer(norm_top_k=False)
    x = tokens().flatten(0, 1)
    scores_NE = torch.nn.functional.linear(x, moe.router.weight).softmax(-1)
    moe.bias[5] = 10.0
    choice = moe.router(x, moe.bias)
    assert (choice.chosen_NS[:, 0] == 5).all()
    torch.testing.assert_close(choice.weights_NS, scores_NE.gather(1, choice.chosen_NS))


@pytest.mark.parametrize("router", ["softmax", "sigmoid"])
def test_normalised_weights_add_up_to_one(router: str) -> None:
    moe = layer(router=router)
    choice = moe.router(tokens().flatten(0, 1), moe.bias)
    torch.testing.assert_close(choice.weights_NS.sum(-1), torch.ones(64))


def test_without_a_shared_expert_there_are_no_parameters_of_one() -> None:
    assert not [name for name, _ in layer(shared=0).named_parameters() if name.startswith("shared")]


def test_every_row_is_counted_in_training_and_none_in_evaluation() -> None:
    moe = layer()
    moe(tokens())
    moe(tokens())
    assert moe.counts.sum() == 2 * 64 * 2
    counts = take_counts([moe], None)
    assert counts is not None
    assert counts.sent_LE.dtype == torch.int64
    assert counts.sent_LE.sum() == 2 * 64 * 2
    assert moe.counts.sum() == 0
    moe.eval()(tokens())
    assert moe.counts.sum() == 0


def test_balance_lifts_the_idle_and_lowers_the_busy_and_stays_centred() -> None:
    moe = layer(experts=4)
    move_balance([moe], sent([[40, 20, 20, 0]]))
    torch.testing.assert_close(moe.bias, torch.tensor([-1.0, 0.0, 0.0, 1.0]) * BIAS_RATE)
    move_balance([moe], sent([[70, 4, 3, 3]]))
    assert moe.bias.sum().item() == pytest.approx(0.0, abs=1e-9)
    assert moe.bias.argmin() == 0


def test_near_the_mean_a_bias_moves_in_proportion_and_at_it_not_at_all() -> None:
    moe = layer(experts=4)
    move_balance([moe], sent([[100, 100, 100, 100]]))
    assert not moe.bias.any()
    move_balance([moe], sent([[105, 95, 100, 100]]))
    torch.testing.assert_close(moe.bias, torch.tensor([-0.5, 0.5, 0.0, 0.0]) * BIAS_RATE)


def test_a_step_that_asked_for_nothing_moves_no_bias() -> None:
    moe = layer(experts=4)
    move_balance([moe], sent([[0, 0, 0, 0]]))
    assert not moe.bias.any()


def test_balance_evens_out_a_lopsided_router() -> None:
    moe = layer(top_k=1, norm_top_k=False)
    x = tokens(512)
    x[..., 0] = 1.0
    moe.router.weight.data[:, 0] = torch.linspace(-1.0, 1.0, 8)  # every token leans the same way
    spread = []
    for _ in range(400):
        moe(x)
        counts = take_counts([moe], None)
        assert counts is not None
        spread.append(load_of(counts).max_load)
        move_balance([moe], counts)
    assert spread[0] > 2.0
    assert spread[-1] < 1.1


def test_without_balance_there_is_no_bias() -> None:
    moe = layer(balance="none")
    assert moe.bias is None
    assert "bias" not in moe.state_dict()
    move_balance([moe], sent([[1] * 8]))


def test_load_names_the_worst_layer() -> None:
    counts = Counts(torch.tensor([[4, 4, 4, 4]] * 3), torch.tensor([[4, 4, 4, 4], [8, 8, 0, 0], [4, 4, 4, 2]]))
    load = load_of(counts)
    assert load.entropy == pytest.approx(math.log(2) / math.log(4))
    assert load.max_load == pytest.approx(2.0)
    assert load.dead == 2
    assert load.dropped == pytest.approx(2 / 16)


def test_a_layer_that_sends_nothing_has_a_load_of_numbers() -> None:
    nothing = torch.zeros(1, 4, dtype=torch.int64)
    load = load_of(Counts(nothing, nothing))
    assert (load.entropy, load.max_load, load.dropped, load.dead) == (0.0, 0.0, 0.0, 4)


def test_drops_follow_the_order_of_positions_and_are_counted() -> None:
    moe = layer(top_k=1, norm_top_k=False, shared=0, capacity=1.0)
    torch.nn.init.zeros_(moe.router.weight)  # all to expert 0, which takes 16 / 8 rows of each sequence
    y = moe(tokens(64))
    assert (y[:, :2] != 0).all()
    assert (y[:, 2:] == 0).all()
    counts = take_counts([moe], None)
    assert counts is not None
    assert counts.sent_LE.tolist() == [[8, 0, 0, 0, 0, 0, 0, 0]]
    assert load_of(counts).dropped == pytest.approx(1 - 8 / 64)


def test_a_capacity_that_nobody_reaches_changes_no_bit() -> None:
    free, capped = layer(), layer(capacity=8.0)
    results = []
    for moe in (free, capped):
        y = moe(tokens())
        y.square().sum().backward()
        results.append([y, *(parameter.grad for parameter in moe.parameters())])
    assert all(map(torch.equal, *results))


def test_a_token_stays_within_its_best_groups() -> None:
    moe = layer(groups=4, top_groups=1)
    chosen_NS = moe.router(tokens().flatten(0, 1), moe.bias).chosen_NS
    assert torch.equal(chosen_NS[:, 0] // 2, chosen_NS[:, 1] // 2)


@pytest.mark.parametrize(
    ("fields", "row"), [({"balance": "global"}, 0), ({"balance": "micro"}, 0), ({"z_loss": 0.1}, 1)]
)
def test_a_layers_own_loss_reaches_the_router_by_its_whole_gradient(fields: dict, row: int) -> None:
    moe = layer(dtype=torch.float64, norm_top_k=False, shared=0, aux_loss=0.5, **fields)
    moe.facts = StepFacts(tokens=64, rows=4, gradient_scale=1.0)
    if moe.previous is not None:
        moe.previous += torch.arange(8)
    moe.experts.down.data.zero_()  # so that nothing else reaches the router
    weight = moe.router.weight
    moe(tokens(dtype=torch.float64)).sum().backward()
    step = torch.zeros_like(weight)
    step[3, 5] = 1e-6
    values = []
    for sign in (1, -1):
        moe.losses.zero_()
        weight.data += sign * step
        moe(tokens(dtype=torch.float64))
        weight.data -= sign * step
        values.append(moe.losses[row].item())
    assert weight.grad[3, 5].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)
