"""A trained checkpoint, measured by us, exported, and measured again by transformers: one loss."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distributed.jobs import attempt
from ultrathink_api.errors import Refused
from ultrathink_api.job import JobSpec
from ultrathink_planner import plan
from ultrathink_trainer.data.stories import Stories
from ultrathink_trainer.evaluate import Dial, build, evaluate, export, load

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

DATA = "builtin://stories"
SMALL = {"layers": 2, "hidden": 32, "heads": 4, "kvHeads": 2, "headDim": 8, "intermediate": 48, "maxPositions": 64}
DRE = {"nullExperts": 2, "effort": 0.6, "efforts": [0.5, 0.75, 1.0]}
GLM_LIKE = {
    "preset": "moe-tiny",
    **SMALL,
    "ropeFraction": 0.5,
    "moe": {"router": "sigmoid", "layers": [1], "intermediate": 16},
}


def trained(place: Path, model: dict[str, Any]) -> str:
    """Two steps on two ranks, so that tensors lie in pieces."""
    job = plan(
        JobSpec.model_validate(
            {
                "model": model,
                "data": {"uri": DATA, "sequenceLength": 32},
                "training": {"steps": 2, "globalBatchTokens": 128},
                "workers": {"count": 2},
            }
        )
    )
    attempt(job, place, 1)
    return f"file://{place}"


@pytest.fixture(params=[{"preset": "dense-tiny", **SMALL}, GLM_LIKE], ids=["dense", "experts"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return trained(tmp_path / "runs", request.param)


def test_transformers_finds_the_loss_that_we_find_before_and_after_export(checkpoint: str, tmp_path: Path) -> None:
    found = evaluate(checkpoint, DATA, 512)
    made = export(f"{checkpoint}@2", tmp_path / "exported")
    assert made.step == 2
    assert evaluate(f"hf:{tmp_path / 'exported'}", DATA, 512) == found
    assert found.tokens == 512
    assert found.perplexity == pytest.approx(math.exp(found.loss))

    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported").float().eval()
    rows = torch.from_numpy(Stories(seed=0, length=64).held_out_rows(range(8)))
    with torch.no_grad():
        logits = model(rows[:, :-1]).logits
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    assert found.loss == pytest.approx(theirs.item(), abs=1e-5)


def test_the_command_line_exports_and_measures(tmp_path: Path) -> None:
    uri = trained(tmp_path / "runs", {"preset": "dense-tiny", **SMALL})
    to = tmp_path / "exported"
    utk = [str(Path(sys.executable).with_name("utk"))]
    told = subprocess.run(
        [*utk, "checkpoints", "export", "--uri", uri, "--format", "hf", "--to", str(to), "-o", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(told.stdout)["family"] == "llama"
    assert sorted(path.suffix for path in to.iterdir()) == [".json", ".safetensors"]
    command = [*utk, "eval", "--checkpoint", f"hf:{to}", "--data", DATA, "--limit-tokens", "64", "-o", "json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(told.stdout)
    assert said["tokens"] == 64
    assert said["loss"] == evaluate(uri, DATA, 64).loss
    refused = subprocess.run([*command, "--effort", "0.5"], capture_output=True, text=True)
    assert refused.returncode == 7
    assert json.loads(refused.stdout)["errors"][0]["code"] == "UTK0142"
    again = subprocess.run(
        [*utk, "checkpoints", "export", "--uri", uri, "--to", str(to)], capture_output=True, text=True
    )
    assert "UTK0607" in again.stderr


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """A model with null experts, trained until they are chosen, and the held-out loss that training found."""
    place = tmp_path_factory.mktemp("runs")
    spec = {
        "model": {"preset": "moe-tiny", **SMALL, "maxPositions": 32, "dre": DRE},
        "data": {"uri": DATA, "sequenceLength": 32},
        "training": {"steps": 48, "globalBatchTokens": 128},
        "workers": {"count": 2},
    }
    return f"file://{place}", attempt(plan(JobSpec.model_validate(spec)), place, 1).of("eval")[-1]["loss"]


def test_without_effort_eval_finds_what_training_found(adaptive: tuple[str, float]) -> None:
    uri, loss = adaptive
    found = evaluate(uri, DATA, 256)
    assert found.effort == DRE["effort"]
    assert found.loss == pytest.approx(loss, abs=1e-5)


def test_less_effort_uses_the_experts_that_reach_the_threshold_and_no_others(adaptive: tuple[str, float]) -> None:
    uri, _ = adaptive
    found = {effort: evaluate(uri, DATA, 256, effort=effort) for effort in (0.5, 0.6, 0.75, 1.0)}
    used = [evaluation.experts_per_token for evaluation in found.values()]
    assert used == sorted(used) and used[0] < used[2] < used[3] == 2
    assert len({evaluation.loss for evaluation in found.values()}) == len(found)
    assert found[0.5].experts_per_token == by_hand(uri, 0.5)


def by_hand(uri: str, effort: float) -> float:
    """Experts a token, from each layer's own input and the threshold that the checkpoint holds."""
    model = build(load(uri))
    Dial(model, effort)
    kept = []
    for layer in model.moe_layers():
        reached = layer.thresholds[sorted(DRE["efforts"]).index(effort)]

        def count(module: Any, given: Any, reached: Any = reached) -> None:
            scores = (given[0].flatten(0, 1) @ module.router.weight.T).softmax(-1) + module.bias
            kept.append((scores.topk(2).values >= reached).sum(1).double().mean().item())

        layer.register_forward_pre_hook(count)
    with torch.no_grad():
        model(torch.from_numpy(Stories(seed=0, length=32).held_out_rows(range(8)))[:, :-1])
    return sum(kept) / len(kept)


@pytest.mark.parametrize("effort", [0.4, 0.0, 1.1, math.nan])
def test_an_effort_that_was_not_trained_for_is_refused(effort: float, adaptive: tuple[str, float]) -> None:
    with pytest.raises(Refused, match="UTK0142 --effort"):
        evaluate(adaptive[0], DATA, 256, effort=effort)


def test_experts_that_no_family_has_are_not_exported(tmp_path: Path) -> None:
    uri = trained(tmp_path / "runs", {"preset": "moe-tiny", **SMALL})
    with pytest.raises(Refused, match="UTK0225"):
        export(uri, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize(
    ("limit", "step", "code"), [(63, "", "UTK0604"), (64, "@7", "UTK0312")], ids=["less than a row", "no such step"]
)
def test_what_cannot_be_measured_is_refused(limit: int, step: str, code: str, tmp_path: Path) -> None:
    uri = trained(tmp_path / "runs", {"preset": "dense-tiny", **SMALL})
    with pytest.raises(Refused, match=code):
        evaluate(uri + step, DATA, limit)
