"""model.from at the command line: config.json alone is read, and what is wrong with it is said at the job's field."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Utk = Callable[..., Any]

CONFIG = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
}  # fmt: skip
PARAMETERS = 2 * 512 * 32 + 32 + 2 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 48)
JOB = """\
apiVersion: ultrathink.io/v1alpha1
kind: UltraThinkJob
metadata: {name: tune}
spec:
  model: {from: "hf:llama"}
  data: {uri: "builtin://stories"}
  training: {steps: 10, globalBatchTokens: 512}
  workers: {count: 2}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "llama").mkdir()
    path = tmp_path / "llama" / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def test_the_plan_has_the_folders_shape_and_finds_it_from_everywhere(utk: Utk, config: Path) -> None:
    value = utk("plan", "job.yaml", "-o", "json").json
    assert value["parameters"] == {"total": PARAMETERS, "active": PARAMETERS}
    assert value["weights"] == f"hf:{config.parent}"
    assert f"starts from hf:{config.parent}" in utk("plan", "job.yaml").out


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        (["--set", "model.preset=dense-tiny"], "UTK0152", "spec.model.from"),
        (["--set", "model.from=llama"], "UTK0153", "spec.model.from"),
        (["--set", "model.hidden=64"], "UTK0154", "spec.model.hidden"),
        (["--set", "model.from=hf:nowhere"], "UTK0226", "spec.model.from"),
    ],
)
def test_what_does_not_fit_is_refused_by_code(utk: Utk, config: Path, words: list[str], code: str, field: str) -> None:
    said = utk("validate", "job.yaml", *words, "-o", "json")
    assert said.code == 7
    assert [(error["code"], error["field"]) for error in said.json["errors"]] == [(code, field)]
    assert said.json["errors"][0]["fix"]


def test_a_model_that_cannot_be_computed_is_refused_at_the_jobs_field(utk: Utk, config: Path) -> None:
    config.write_text(json.dumps(CONFIG | {"hidden_act": "gelu"}))
    said = utk("validate", "job.yaml")
    assert said.code == 7
    assert "job.yaml:5:17" in said.err and "config.json: hidden_act" in said.err


def test_it_is_not_submitted_since_no_pod_has_the_folder(utk: Utk, config: Path) -> None:
    said = utk("submit", "job.yaml", "--dry-run", "client", "-o", "json")
    assert said.code == 7
    (error,) = said.json["errors"]
    assert (error["code"], error["field"]) == ("UTK0227", "spec.model.from")
    assert "utk run --local" in error["fix"]


def test_a_plan_is_made_without_torch(config: Path) -> None:
    look = "import sys; from ultrathink import Job; Job.from_file('job.yaml').plan(); print(*sys.modules)"
    folder = config.parents[1]
    done = subprocess.run([sys.executable, "-c", look], cwd=folder, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "safetensors", "numpy", "ray"} & set(done.stdout.split())
