"""Every layout trains the same model: losses within 1e-10, parameters within 1e-8 of each tensor's largest value.

Here is the core that every test run affords; `make equality` runs all layouts.
"""

import pytest

from distributed.equality import ALL, FLOAT32_TOLERANCE, MODELS, difference, float32_difference
from distributed.layouts import ALONE, AXES, CORE_LARGEST, LAYOUTS, core_layouts, legal_layouts, name_of
from distributed.mutations import MUTATIONS, mutated, source

<<<<<<< HEAD
STEPS = 3
RATES = [3e-3, 2e-3, 1e-3]
LOSS_TOLERANCE = 1e-10
PARAMETER_TOLERANCE = 1e-8

MODELS: dict[str, dict[str, Any]] = {
    "dense": {"qkNorm": True},
    "experts": {"moe": EXPERTS},
}
BALANCED: dict[str, dict[str, Any]] = {
    "global balance, z-loss": {"moe": EXPERTS | {"balance": "global", "auxLoss": 0.5, "zLoss": 0.1}},
    "micro balance, capacity": {"moe": EXPERTS | {"balance": "micro", "auxLoss": 0.5, "capacity": 1.0}},
}
ONLY_ALONE: dict[str, dict[str, Any]] = {
    "tied": {"tiedEmbeddings": True},
    "sigmoid router, weights as they are, no shared expert, no balance": {
        "moe": EXPERTS | {"router": "sigmoid", "normTopK": False, "shared": 0, "balance": "none"}
    },
    "sigmoid router with groups, temperature, scale, micro balance": {
        "moe": EXPERTS
        | {"router": "sigmoid", "groups": 4, "topGroups": 2, "temperature": 2.0, "routedScale": 1.5, "balance": "micro"}
    },
}


def train(layout: tuple[int, int, int], model: dict[str, Any], **training: Any) -> list[dict[str, Any]]:
    plan = job_plan(layout, model=model, **training)
    batches = random_batches(plan, STEPS)

    def work(rank: int) -> dict[str, Any]:
        world = build_world(plan.mesh, torch.device("cpu"))
        engine = Engine(plan, world)
        mine = slice(world.at("data"), None, world.size("data"))
        shares = [Rows(tokens[mine], labels[mine]) for tokens, labels in batches]
        told: dict[str, list[float]] = {"losses": [], "norms": [], "aux_losses": [], "z_losses": [], "dropped": []}
        for rows, rate in zip(shares, RATES, strict=True):
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
def expected(name: str) -> reference.Trained:
    plan = job_plan(ALONE, model=(MODELS | BALANCED | ONLY_ALONE)[name])
    with torch.device("meta"):
        model = Transformer(plan.model, plan.stages[0]).double()
    model.to_empty(device="cpu")
    model.tie()
    initialise(model, plan.seed)
    start = {parameter: value.detach() for parameter, value in model.named_parameters()}
    return reference.train(plan, start, random_batches(plan, STEPS), RATES)


@cache
def held_out_alone(name: str) -> float:
    return train(ALONE, MODELS[name])[0]["held out"]


def check(name: str, results: list[dict[str, Any]]) -> None:
    wanted = expected(name)
    tensors: dict[str, Any] = {}
    for result in results:
        assert result["losses"] == pytest.approx(wanted.losses, rel=0, abs=LOSS_TOLERANCE)
        assert result["norms"] == pytest.approx(wanted.norms, rel=1e-10)
        for name in ("aux_losses", "z_losses"):
            assert result[name] == pytest.approx(getattr(wanted, name), rel=0, abs=LOSS_TOLERANCE), name
        tensors |= result["tensors"]
    if wanted.dropped:  # the worst stage's, as ranks agree on it
        dropped = [max(step) for step in zip(*(result["dropped"] for result in results), strict=True)]
        assert dropped == pytest.approx(wanted.dropped, abs=1e-12)
    assert {name for name in tensors if is_parameter(name)} == set(wanted.parameters)
    for parameter, value in wanted.parameters.items():
        assert furthest(tensors[parameter], value.numpy()) <= PARAMETER_TOLERANCE, parameter
    if "layers.0.moe.previous" in tensors:
        assert wanted.counts is not None
        for layer, counts in enumerate(wanted.counts):
            assert tensors[f"layers.{layer}.moe.previous"].tolist() == counts.tolist()
    if "layers.0.moe.bias" in tensors:
        assert wanted.biases is not None
        for layer, bias in enumerate(wanted.biases):
            numpy.testing.assert_allclose(tensors[f"layers.{layer}.moe.bias"], bias.numpy(), rtol=0, atol=1e-15)
            assert abs(bias.sum()) < 1e-6
            assert bias.abs().max() > 0


def is_parameter(name: str) -> bool:
    return not name.startswith("optimizer.") and not name.endswith((".bias", ".previous"))


def furthest(found: numpy.ndarray, wanted: numpy.ndarray) -> float:
    """As a share of the tensor's largest value."""
    return float(numpy.abs(found - wanted).max() / numpy.abs(wanted).max())


@pytest.mark.parametrize("name", [*MODELS, *BALANCED, *ONLY_ALONE])
def test_one_process_trains_as_the_plain_loop_does(name: str) -> None:
    check(name, train(ALONE, (MODELS | BALANCED | ONLY_ALONE)[name]))
=======
CORE = core_layouts()
PAIRS = [(model, layout) for model in MODELS for layout in CORE if CORE[layout] in legal_layouts(MODELS[model])]


@pytest.mark.parametrize("model", ALL)
def test_one_process_trains_as_the_plain_loop_does(model: str) -> None:
    assert difference(model, ALONE).too_far == {}
>>>>>>> d05ae8a (Prove all legal layouts equal by make equality, and that seven mistakes are noticed)


def test_tied_embeddings_stay_tied_when_cut() -> None:
    assert difference("tied", LAYOUTS["data 2, tensor 2"]).too_far == {}


@pytest.mark.parametrize(("model", "layout"), PAIRS)
def test_a_layout_trains_as_the_plain_loop_does(model: str, layout: str) -> None:
    assert difference(model, CORE[layout]).too_far == {}


<<<<<<< HEAD
@pytest.mark.parametrize("layout", ["data 2, tensor 2", "pipeline 2, data 2", "tensor 4"])
@pytest.mark.parametrize("name", BALANCED)
def test_balance_and_drops_are_the_same_in_every_layout(name: str, layout: str) -> None:
    check(name, train(LAYOUTS[layout], BALANCED[name]))


@pytest.mark.parametrize("name", ["data 2", "tensor 2", "pipeline 2", "data 2, tensor 2"])
def test_in_float32_with_the_grouped_kernel_the_first_step_is_the_same(name: str) -> None:
    """One step only: later, near-ties of the router may fall the other way."""
    alone, cut = (train(layout, MODELS["experts"], precision="fp32")[0] for layout in (ALONE, LAYOUTS[name]))
    assert cut["losses"][0] == pytest.approx(alone["losses"][0], rel=1e-5)
    assert cut["norms"][0] == pytest.approx(alone["norms"][0], rel=1e-5)
=======
@pytest.mark.parametrize("layout", ["data 2", "tensor 2", "pipeline 2", "data 2, tensor 2"])
def test_in_float32_with_the_grouped_kernel_the_first_step_is_the_same(layout: str) -> None:
    assert float32_difference(LAYOUTS[layout]) <= FLOAT32_TOLERANCE


def test_every_axis_is_cut_at_every_size_and_beside_every_other() -> None:
    legal = legal_layouts(MODELS["experts"])
    assert len({name_of(layout) for layout in legal}) == len(legal)
    assert {(axis, layout[axis]) for layout in legal for axis in layout} == {(a, n) for a in AXES for n in (2, 4, 8)}
    assert len(CORE) <= CORE_LARGEST


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_still_fits_the_code(mutation) -> None:  # type: ignore[no-untyped-def]
    """If this fails, the code that it names has moved: say the mutation anew."""
    text = source(mutation)
    assert text.count(mutation.old) == 1
    assert mutated(mutation) != text
>>>>>>> d05ae8a (Prove all legal layouts equal by make equality, and that seven mistakes are noticed)
