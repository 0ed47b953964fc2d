"""Expert parallelism: what the equality of all layouts does not reach."""

from typing import Any

import pytest
import torch
import torch.distributed as dist

from distributed.equality import ADAPTIVE, BALANCED, FLOAT32_TOLERANCE, difference, float32_difference
from distributed.layouts import Layout, name_of
from distributed.ranks import run_ranks
from ultrathink_planner import MoEShape
from ultrathink_trainer.model.moe import MoE
from ultrathink_trainer.parallel.expert import AllToAll

HIDDEN = 16
SHAPE = MoEShape(
    experts=4, top_k=2, shared=0, intermediate=8, router="softmax", norm_top_k=True, balance="none", z_loss=0.1
)


BORROWED: Layout = {"data": 2, "tensor": 2, "expert": 4}


@pytest.mark.parametrize("model", [*BALANCED, *ADAPTIVE])
def test_balance_and_drops_are_the_same_with_experts_on_other_ranks(model: str) -> None:
    assert difference(model, BORROWED).too_far == {}


def test_experts_that_the_other_ranks_cannot_share_evenly_train_the_same() -> None:
    """Three experts a rank of the expert axis, over two ranks of the rest."""
    assert difference("six experts", {"data": 4, "expert": 2}).too_far == {}


@pytest.mark.parametrize("layout", [{"data": 2, "expert": 2}, {"tensor": 2, "expert": 2}], ids=name_of)
def test_in_float32_with_the_grouped_kernel_the_first_step_is_the_same(layout: Layout) -> None:
    assert float32_difference(layout) <= FLOAT32_TOLERANCE


def answers(layer: MoE, x: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    grads = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y, "x.grad": x.grad, **{f"{name}.grad": grad for name, grad in grads.items()}}


def layer_of(dtype: torch.dtype) -> MoE:
    """Ties go to the lower index, so all tokens go to the first two experts."""
    layer = MoE(HIDDEN, SHAPE)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    torch.nn.init.zeros_(layer.router.weight)
    layer.reset()
    return layer.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_rank_whose_experts_get_no_row_takes_part_all_the_same(dtype: torch.dtype) -> None:
    """The second rank has experts 2 and 3, which nobody asks for."""
    x = torch.randn(2, 2, 8, HIDDEN, generator=torch.Generator().manual_seed(1)).to(dtype)

    def work(rank: int) -> dict[str, Any]:
        layer = layer_of(dtype)
        for name, parameter in list(layer.experts.named_parameters()):
            setattr(layer.experts, name, torch.nn.Parameter(parameter.detach().chunk(2)[rank].clone()))
        layer.experts.exchange = AllToAll(dist.group.WORLD)
        return answers(layer, x[rank])

    alone = [answers(layer_of(dtype), part) for part in x]
    for rank, found in enumerate(run_ranks(2, work)):
        for name, value in found.items():
            if ".experts." in f".{name}":
                wanted = sum(part[name] for part in alone).chunk(2)[rank]
                assert wanted.any() == (rank == 0)
            else:
                wanted = alone[rank][name]
            torch.testing.assert_close(torch.from_numpy(value), wanted, rtol=1e-4, atol=1e-5, msg=name)
