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
ONLY_ALONE: dict[str, dict[str, Any]] = {
    "tied": {"tiedEmbeddings": True},
    "sigmoid router, weights as they are, no shared expert, no balance": {
        "moe": EXPERTS | {"router": "sigmoid", "normTopK": False, "shared": 0, "balance": "none"}
    },
}
ALL = MODELS | ONLY_ALONE


@dataclass(frozen=True)
class Difference:
    """How far a layout is from the plain loop, at worst over ranks, steps and tensors."""

    loss: float
    norm: float
    """Of the gradients' norm, as a share of it."""
    parameter: float
    """As a share of the tensor's largest value."""
    bias: float
    held_out: float

    @property
    def too_far(self) -> dict[str, float]:
        """What is beyond its tolerance; not a number is beyond any."""
        tolerances = {
            "loss": LOSS_TOLERANCE,
            "norm": NORM_TOLERANCE,
            "parameter": PARAMETER_TOLERANCE,
            "bias": BIAS_TOLERANCE,
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
        losses, norms = [], []
        for rows, rate in zip(shares, RATES, strict=False):
            measured = engine.forward_backward(rows)
            engine.update(rate, measured.grad_norm)
            engine.clear()
            losses.append(measured.loss)
            norms.append(measured.grad_norm)
        whole = {n: t.full_tensor() if hasattr(t, "full_tensor") else t for n, t in engine.tensors().items()}
        return {"losses": losses, "norms": norms, "tensors": whole, "held out": engine.evaluate(shares)}

    return run_ranks(plan.world_size, work)


@cache
def expected(name: str, planned: Planned = job_plan) -> reference.Trained:
    """What the plain loop comes to, from the same first values."""
    plan = planned(ALONE, model=ALL[name])
    with torch.device("meta"):
        model = Transformer(plan.model, plan.stages[0]).double()
    model.to_empty(device="cpu")
    model.tie()
    initialise(model, plan.seed)
    start = {parameter: value.detach() for parameter, value in model.named_parameters()}
    return reference.train(plan, start, random_batches(plan, STEPS), RATES)


def difference(name: str, layout: Layout, planned: Planned = job_plan) -> Difference:
    """Train in the layout, and compare."""
    wanted = expected(name, planned)
    results = train(planned(layout, model=ALL[name]))
    tensors = {key: value for result in results for key, value in result["tensors"].items()}
    found = {key for key in tensors if is_parameter(key)}
    assert found == set(wanted.parameters), f"parameters missing or left over: {found ^ set(wanted.parameters)}"
    losses, norms = ([result[key] for result in results] for key in ("losses", "norms"))
    return Difference(
        loss=worst(numpy.abs(numpy.array(losses) - wanted.losses)),
        norm=worst(numpy.abs(numpy.array(norms) / wanted.norms - 1)),
        parameter=max(furthest(tensors[key], value.numpy()) for key, value in wanted.parameters.items()),
        bias=_bias_difference(tensors, wanted.biases),
        held_out=worst(numpy.abs(numpy.array([result["held out"] for result in results]) - wanted.held_out)),
    )


def _bias_difference(tensors: dict[str, Any], wanted: torch.Tensor | None) -> float:
    assert wanted is not None
    found = {layer: tensors[key] for layer in range(len(wanted)) if (key := f"layers.{layer}.moe.bias") in tensors}
    if not found:
        return 0.0
    assert len(found) == len(wanted)
    assert wanted.abs().amax(1).min() > 0, "a balance that never moved proves nothing"
    return max(worst(numpy.abs(value - wanted[layer].numpy())) for layer, value in found.items())


def is_parameter(name: str) -> bool:
    return not name.startswith("optimizer.") and not name.endswith(".bias")


def worst(values: numpy.ndarray) -> float:
    """The largest; not a number if one is none."""
    return float(numpy.asarray(values).max())


def furthest(found: numpy.ndarray, wanted: numpy.ndarray) -> float:
    return worst(numpy.abs(found - wanted)) / worst(numpy.abs(wanted))


def float32_difference(layout: Layout, planned: Planned = job_plan) -> float:
    """Of the first loss and of each gradient's norm, with the grouped kernel, as a share: one step only, for later
    near-ties of the router may fall the other way."""
    (alone, cut) = (_first_step(planned(where, model=MODELS["experts"], precision="fp32")) for where in (ALONE, layout))
    assert alone.keys() == cut.keys()
    return max(abs(cut[key] / alone[key] - 1) for key in alone)


def _first_step(plan: Plan) -> dict[str, float]:
    """After one step the first moment is the gradient, but for a factor."""
    results = train(plan, steps=1)
    tensors = {key: value for result in results for key, value in result["tensors"].items()}
    norms = {key: float(numpy.linalg.norm(value)) for key, value in tensors.items() if key.endswith(".exp_avg")}
    assert norms
    return norms | {"loss": results[0]["losses"][0]}
