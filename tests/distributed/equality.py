"""What it means that a layout trains the same model: trained in forked ranks, compared with the plain loop."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy
import torch

from distributed import reference
from distributed.layouts import ALONE, EXPERTS, Layout, job_plan, random_batches
from distributed.ranks import run_ranks
from ultrathink_planner import Plan
from ultrathink_trainer.data.loader import Rows
from ultrathink_trainer.model.initialise import initialise
from ultrathink_trainer.model.transformer import Transformer
from ultrathink_trainer.parallel.engine import Engine
from ultrathink_trainer.parallel.mesh import build_world

STEPS = 3
RATES = [3e-3, 2e-3, 1e-3]
LOSS_TOLERANCE = 1e-10
PARAMETER_TOLERANCE = 1e-8
NORM_TOLERANCE = 1e-10
BIAS_TOLERANCE = 1e-15
FLOAT32_TOLERANCE = 1e-5

Planned = Callable[..., Plan]

MODELS: dict[str, dict[str, Any]] = {
    "dense": {"qkNorm": True},
    "experts": {"moe": EXPERTS},
}
BALANCED: dict[str, dict[str, Any]] = {
    "global balance, z-loss": {"moe": EXPERTS | {"balance": "global", "auxLoss": 0.5, "zLoss": 0.1}},
    "micro balance, capacity": {"moe": EXPERTS | {"balance": "micro", "auxLoss": 0.5, "capacity": 1.0}},
}
ADAPTIVE: dict[str, dict[str, Any]] = {
    # Scores so far apart that the threshold skips some from the second step on.
    "dre": {"moe": EXPERTS | {"temperature": 0.25}, "dre": {"nullExperts": 2, "effort": 0.5}},
}
STRETCHED = {"kind": "llama3", "factor": 4, "lowFactor": 1, "highFactor": 4, "originalPositions": 8}
FAMILIES = "what families have: part of a head rotated and stretched, biases, a window, more norms, experts in places"
ONLY_ALONE: dict[str, dict[str, Any]] = {
    "tied": {"tiedEmbeddings": True},
    FAMILIES: {
        "ropeFraction": 0.5,
        "ropeTheta": 4.0,  # so that among few frequencies some are slow, some fast, some between
        "ropeScaling": STRETCHED,
        "attentionBias": True,
        "windowSize": 3,
        "postNorms": True,
        "normEpsilon": 1e-3,
        "moe": EXPERTS | {"layers": [1, 2]},
        "layers": 4,
    },
    "sigmoid router, weights as they are, no shared expert, no balance": {
        "moe": EXPERTS | {"router": "sigmoid", "normTopK": False, "shared": 0, "balance": "none"}
    },
    "six experts": {"moe": EXPERTS | {"experts": 6}},
    "sigmoid router with groups, temperature, scale, micro balance": {
        "moe": EXPERTS
        | {"router": "sigmoid", "groups": 4, "topGroups": 2, "temperature": 2.0, "routedScale": 1.5, "balance": "micro"}
    },
}
ALL = MODELS | BALANCED | ADAPTIVE | ONLY_ALONE


@dataclass(frozen=True)
class Difference:
    """How far a layout is from the plain loop, at worst over ranks, steps and tensors."""

    loss: float
    norm: float
    """Of the gradients' norm, as a share of it."""
    parameter: float
    """As a share of the tensor's largest value."""
    bias: float
    """Of what the balance keeps: selection biases, and the counts of the batch before."""
    side_losses: float
    """Of balance, z-loss and the share of dropped rows."""
    held_out: float

    @property
    def too_far(self) -> dict[str, float]:
        """What is beyond its tolerance; not a number is beyond any."""
        tolerances = {
            "loss": LOSS_TOLERANCE,
            "norm": NORM_TOLERANCE,
            "parameter": PARAMETER_TOLERANCE,
            "bias": BIAS_TOLERANCE,
            "side_losses": LOSS_TOLERANCE,
            "held_out": LOSS_TOLERANCE,
        }
        return {name: value for name, value in asdict(self).items() if not value <= tolerances[name]}


def train(plan: Plan, steps: int = STEPS) -> list[dict[str, Any]]:
    """Each rank's losses, norms and tensors."""
    batches = random_batches(plan, steps)

    def work(rank: int) -> dict[str, Any]:
        world = build_world(plan.mesh, torch.device("cpu"))
        engine = Engine(plan, world)
        mine = slice(world.at("data"), None, world.size("data"))
        shares = [Rows(tokens[mine], labels[mine]) for tokens, labels in batches]
        told: dict[str, list[float]] = {"losses": [], "norms": [], "aux_losses": [], "z_losses": [], "dropped": []}
        for rows, rate in zip(shares, RATES, strict=False):
            measured = engine.forward_backward(rows)
            engine.update(rate, measured.grad_norm)
            engine.clear()
            told["losses"].append(measured.loss)
            told["norms"].append(measured.grad_norm)
            told["aux_losses"].append(measured.aux_loss)
            told["z_losses"].append(measured.z_loss)
            told["dropped"].append(measured.load.dropped if measured.load else 0.0)
        whole = {n: t.full_tensor() if hasattr(t, "full_tensor") else t for n, t in engine.tensors().items()}
        return {**told, "tensors": whole, "held out": engine.evaluate(shares)}

    return run_ranks(plan.world_size, work)


@cache
def expected(name: str, layers: int, planned: Planned = job_plan) -> reference.Trained:
    """What the plain loop comes to, from the same first values."""
    plan = planned(ALONE, model=ALL[name] | {"layers": layers})
    with torch.device("meta"):
        model = Transformer(plan.model, plan.stages[0]).double()
    model.to_empty(device="cpu")
    model.tie()
    initialise(model, plan.seed)
    start = {parameter: value.detach() for parameter, value in model.named_parameters()}
    return reference.train(plan, start, random_batches(plan, STEPS), RATES)


def difference(name: str, layout: Layout, planned: Planned = job_plan, **training: Any) -> Difference:
    """Train in the layout, and compare. `training` is what must make no difference."""
    plan = planned(layout, model=ALL[name], **training)
    wanted = expected(name, plan.model.layers, planned)
    results = train(plan)
    tensors = {key: value for result in results for key, value in result["tensors"].items()}
    found = {key for key in tensors if is_parameter(key)}
    assert found == set(wanted.parameters), f"parameters missing or left over: {found ^ set(wanted.parameters)}"
    losses, norms = ([result[key] for result in results] for key in ("losses", "norms"))
    return Difference(
        loss=worst(numpy.abs(numpy.array(losses) - wanted.losses)),
        norm=worst(numpy.abs(numpy.array(norms) / wanted.norms - 1)),
        parameter=max(furthest(tensors[key], value.numpy()) for key, value in wanted.parameters.items()),
        bias=_kept_difference(tensors, wanted),
        side_losses=_side_losses(results, wanted),
        held_out=worst(numpy.abs(numpy.array([result["held out"] for result in results]) - wanted.held_out)),
    )


def _kept_difference(tensors: dict[str, Any], wanted: reference.Trained) -> float:
    assert wanted.biases is not None
    assert wanted.counts is not None
    worst_bias = 0.0
    for kind, values in {"bias": wanted.biases, "previous": wanted.counts}.items():
        found = {
            layer: tensors[key] for layer in range(len(values)) if (key := f"layers.{layer}.moe.{kind}") in tensors
        }
        if found:
            assert set(found) == {layer for layer, counts in enumerate(wanted.counts) if counts.sum()}
            moved = values[list(found)].abs().amax(1)
            assert moved.min() > 0, "a balance that never moved proves nothing"
            worst_bias = max(worst_bias, *(worst(numpy.abs(found[layer] - values[layer].numpy())) for layer in found))
    for layer, threshold in enumerate(wanted.thresholds):
        if (key := f"layers.{layer}.moe.thresholds") in tensors:
            worst_bias = max(worst_bias, abs(tensors[key].item() - threshold))
    return worst_bias


def _side_losses(results: list[dict[str, Any]], wanted: reference.Trained) -> float:
    """Every rank knows the losses; of drops it knows its stage's, and the worst is what ranks agree on."""
    apart = [
        numpy.abs(numpy.array(result[key]) - getattr(wanted, key))
        for key in ("aux_losses", "z_losses")
        for result in results
    ]
    if wanted.dropped:
        dropped = numpy.array([result["dropped"] for result in results]).max(0)
        apart.append(numpy.abs(dropped - wanted.dropped))
    return worst(numpy.array(apart))


def is_parameter(name: str) -> bool:
    return not name.startswith("optimizer.") and not name.endswith((".moe.bias", ".moe.previous", ".moe.thresholds"))


def worst(values: numpy.ndarray) -> float:
    """The largest; not a number if one is none."""
    return float(numpy.asarray(values).max())


def furthest(found: numpy.ndarray, wanted: numpy.ndarray) -> float:
    return worst(numpy.abs(found - wanted)) / worst(numpy.abs(wanted))


def float32_difference(layout: Layout, planned: Planned = job_plan, model: str = "experts", **training: Any) -> float:
    """Of the first loss and of each gradient's norm, with the grouped kernel, as a share: one step only, for later
    near-ties of the router may fall the other way. `training` is what must make no difference."""
    plan = planned(layout, model=ALL[model], **{"precision": "fp32", **training})
    alone, cut = _alone_in_float32(model, plan.model.layers, planned), _first_step(plan)
    assert alone.keys() == cut.keys()
    return max(abs(cut[key] / alone[key] - 1) for key in alone)


@cache
def _alone_in_float32(model: str, layers: int, planned: Planned) -> dict[str, float]:
    return _first_step(planned(ALONE, model=ALL[model] | {"layers": layers}, precision="fp32"))


def _first_step(plan: Plan) -> dict[str, float]:
    """After one step the first moment is the gradient, but for a factor."""
    results = train(plan, steps=1)
    tensors = {key: value for result in results for key, value in result["tensors"].items()}
    norms = {key: float(numpy.linalg.norm(value)) for key, value in tensors.items() if key.endswith(".exp_avg")}
    assert norms
    return norms | {"loss": results[0]["losses"][0]}
