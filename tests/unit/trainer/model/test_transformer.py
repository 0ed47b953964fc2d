"""The model on the meta device against the planner's counts, its first values, and that it never looks ahead."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, Stage, plan
from ultrathink_planner.parameters import parameters
from ultrathink_planner.presets import PRESETS
from ultrathink_trainer.model.initialise import initialise
from ultrathink_trainer.model.transformer import Transformer

torch.set_num_threads(1)

MODELS: dict[str, dict[str, Any]] = {
    "moe-tiny": {"preset": "moe-tiny"},
    "dense-tiny": {"preset": "dense-tiny"},
    "grouped queries, normed": {"preset": "moe-tiny", "kvHeads": 2, "qkNorm": True},
    "tied": {"preset": "dense-tiny", "tiedEmbeddings": True},
    "no shared expert": {"preset": "moe-tiny", "moe": {"shared": 0, "balance": "none"}},
    "experts in the middle, dense at the ends": {"preset": "moe-tiny", "moe": {"layers": [1, 2]}},
    "half of a head rotated, biases, a window, norms after": {
        "preset": "dense-tiny",
        "ropeFraction": 0.5,
        "ropeScaling": {"kind": "linear", "factor": 2},
        "attentionBias": True,
        "windowSize": 12,
        "postNorms": True,
    },
    "two shared experts": {"preset": "moe-tiny", "moe": {"shared": 2, "experts": 4}},
}


def planned(model: dict[str, Any], pipeline: int = 1) -> Plan:
    return plan(
        JobSpec.model_validate(
            {
                "model": model,
                "data": {"uri": "builtin://stories"},
                "training": {"steps": 10},
                "workers": {"count": pipeline},
                "parallelism": {"pipeline": pipeline},
            }
        )
    )


def on_meta(job: Plan, stage: int = 0) -> Transformer:
    with torch.device("meta"):
        return Transformer(job.model, job.stages[stage])


def ready(job: Plan, stage: int = 0, seed: int = 0) -> Transformer:
    model = on_meta(job, stage).to_empty(device="cpu")
    model.tie()
    initialise(model, seed)
    return model


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_model_has_as_many_parameters_as_the_plan_says(model: dict[str, Any]) -> None:
    job = planned(model)
    assert sum(parameter.numel() for parameter in on_meta(job).parameters()) == job.parameters.total


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_token_meets_as_many_parameters_as_the_plan_calls_active(model: dict[str, Any]) -> None:
    job = planned(model)
    moe = job.model.moe
    idle = 0
    for name, parameter in on_meta(job).named_parameters():
        if ".experts." in name:
            assert moe is not None
            idle += parameter.numel() * (moe.experts - moe.top_k) // moe.experts
    assert job.parameters.total - idle == job.parameters.active


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_on_the_meta_device_is_what_the_planner_counts_tensor_by_tensor(name: str) -> None:
    shape = PRESETS[name].shape
    with torch.device("meta"):
        model = Transformer(shape, Stage(index=0, first_layer=0, last_layer=shape.layers, embedding=True, head=True))
    found = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert found == {parameter.name: parameter.shape for parameter in parameters(shape)}


def test_nothing_is_allocated_before_it_is_cut() -> None:
    assert {parameter.device.type for parameter in on_meta(planned(MODELS["moe-tiny"])).parameters()} == {"meta"}


def test_stages_hold_every_parameter_once_under_its_own_name_with_the_same_values() -> None:
    whole = dict(ready(planned(MODELS["moe-tiny"])).named_parameters())
    cut = planned(MODELS["moe-tiny"], pipeline=4)
    parts = [dict(ready(cut, stage).named_parameters()) for stage in range(4)]
    assert sum(map(len, parts)) == len(whole)
    for part in parts:
        for name, value in part.items():
            assert torch.equal(value, whole[name]), name


def test_first_values_depend_on_seed_and_name() -> None:
    job = planned(MODELS["moe-tiny"])
    first, again, other = ready(job, seed=1), ready(job, seed=1), ready(job, seed=2)
    assert torch.equal(first.embed.weight, again.embed.weight)
    assert not torch.equal(first.embed.weight, other.embed.weight)
    gate_up = first.layers["0"].moe.experts.gate_up
    assert all(not torch.equal(a, b) for a, b in pairwise(gate_up))
    assert not torch.equal(gate_up, first.layers["1"].moe.experts.gate_up)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_no_position_sees_what_follows_it(model: dict[str, Any]) -> None:
    network = ready(planned(model)).eval()
    tokens = torch.randint(512, (2, 16), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 512
    with torch.no_grad():
        before, after = network(tokens), network(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_no_position_sees_further_back_than_its_window() -> None:
    network = ready(planned({"preset": "dense-tiny", "layers": 1, "windowSize": 3})).eval()
    tokens = torch.randint(512, (2, 16), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 512
    with torch.no_grad():
        before, after = network(tokens), network(changed)
    seen = [(before[:, t] - after[:, t]).abs().max().item() > 1e-6 for t in range(16)]
    assert [t for t in range(16) if seen[t]] == [4, 5, 6]


def test_the_first_loss_is_that_of_a_guess() -> None:
    job = planned(MODELS["moe-tiny"])
    tokens = torch.randint(512, (8, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = ready(job)(tokens)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
    assert loss.item() == pytest.approx(torch.tensor(512.0).log().item(), rel=0.02)
