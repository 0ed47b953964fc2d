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
from ultrathink_trainer.evaluate import evaluate, export

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

DATA = "builtin://stories"
SMALL = {"layers": 2, "hidden": 32, "heads": 4, "kvHeads": 2, "headDim": 8, "intermediate": 48, "maxPositions": 64}
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
    again = subprocess.run(
        [*utk, "checkpoints", "export", "--uri", uri, "--to", str(to)], capture_output=True, text=True
    )
    assert "UTK0607" in again.stderr


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
