"""Lion by its paper's lines, Muon against torch's own on one matrix and on stacks, and what the plan says of state."""

import math

import pytest
import torch
from torch import nn

from ultrathink_api.sections.training import OptimizerSpec
from ultrathink_planner.layout import optimizer_bytes
from ultrathink_planner.parameters import Parameter, orthogonalised
from ultrathink_trainer.optim import OPTIMIZERS
from ultrathink_trainer.optim.lion import Lion
from ultrathink_trainer.optim.muon import ADAMW_SIZE, Muon, orthogonal

torch.set_num_threads(1)

NAMES = {
    "embed.weight": (24, 8),
    "layers.0.attn.q.weight": (16, 8),
    "layers.0.attn_norm.weight": (8,),
    "layers.0.moe.router.weight": (4, 8),
    "layers.0.moe.experts.gate_up": (4, 12, 8),
    "layers.0.moe.experts.down": (4, 8, 6),
}
BF16 = 0.05
"""torch's Muon iterates in bf16, whose rounding its steep first steps make larger."""


def drawn(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in NAMES.items()}


def parameters() -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(value) for name, value in drawn(1).items()}


def spec(name: str) -> OptimizerSpec:
    return OptimizerSpec.model_validate({"name": name, "lr": 0.01, "weightDecay": 0.1, "beta1": 0.9, "beta2": 0.95})


def moved(optimizer, steps: int, lr: float) -> None:  # type: ignore[no-untyped-def]
    for step in range(steps):
        for name, gradient in drawn(10 + step).items():
            optimizer.parameters[name].grad = gradient
        optimizer.step(lr)
        optimizer.clear()


def test_lion_moves_every_element_by_the_sign_of_its_mixed_momentum() -> None:
    ours = parameters()
    moved(Lion(ours, spec("lion")), 3, 0.01)
    for name, value in drawn(1).items():
        momentum = torch.zeros_like(value)
        for step in range(3):
            gradient = drawn(10 + step)[name]
            update = torch.sign(0.9 * momentum + 0.1 * gradient)
            value = value - 0.01 * (update + (0.1 * value if value.ndim > 1 else 0))
            momentum = 0.95 * momentum + 0.05 * gradient
        torch.testing.assert_close(ours[name].detach(), value)


def matrices(name: str, value: torch.Tensor) -> list[torch.Tensor]:
    """The matrices that a parameter is made of."""
    stack = value if value.ndim > 2 else value[None]
    parts = stack.chunk(2, dim=1) if name.endswith("gate_up") else [stack]
    return [matrix for part in parts for matrix in part]


def test_muon_moves_each_matrix_as_torchs_does_and_leaves_the_rest_to_adamw() -> None:
    ours = parameters()
    moved(Muon(ours, spec("muon")), 3, 0.01)
    for name in NAMES:
        theirs = [nn.Parameter(matrix.clone()) for matrix in matrices(name, drawn(1)[name])]
        if orthogonalised(name, len(NAMES[name])):
            torchs = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        else:
            decay = 0.1 if len(NAMES[name]) > 1 else 0.0
            torchs = torch.optim.AdamW(theirs, lr=0.01, weight_decay=decay, betas=(0.9, 0.95), eps=1e-8)
        for step in range(3):
            for parameter, gradient in zip(theirs, matrices(name, drawn(10 + step)[name]), strict=True):
                parameter.grad = gradient.clone()
            torchs.step()
        before = matrices(name, drawn(1)[name])
        for found, wanted, start in zip(matrices(name, ours[name].detach()), theirs, before, strict=True):
            far = (found - wanted.detach()).norm() / (wanted.detach() - start).norm()
            assert far <= (BF16 if orthogonalised(name, len(NAMES[name])) else 1e-5), name


def test_what_is_orthogonal_has_adamws_size() -> None:
    x = orthogonal(torch.randn(3, 64, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    assert x.square().mean().sqrt().item() == pytest.approx(ADAMW_SIZE, rel=0.25)
    sizes = torch.linalg.svdvals(x) / (ADAMW_SIZE * math.sqrt(256))
    assert 0.5 < sizes.min() <= sizes.max() < 1.5


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_plan_knows_the_bytes_of_the_state(name: str) -> None:
    ours = parameters()
    optimizer = OPTIMIZERS[name](ours, spec(name))
    for key, shape in NAMES.items():
        kept = sum(moment.nbytes for moment in optimizer.state[key].values())
        counted = 4 if len(optimizer.state[key]) == 2 else 0
        said = Parameter(key, shape, None, None, 0)
        assert optimizer_bytes(said, 4 * math.prod(shape), name) == kept + counted
    assert set(optimizer.moments()) == {f"optimizer.{key}.{m}" for key in NAMES for m in optimizer.state[key]}
