"""A job that starts from a model of transformers: in every layout its first loss is the one that transformers finds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from distributed.jobs import attempt
from distributed.ranks import RankFailed, run_ranks
from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, plan
from ultrathink_trainer.checkpoint.beginning import read_weights
from ultrathink_trainer.checkpoint.folder import read_given
from ultrathink_trainer.checkpoint.held import hold
from ultrathink_trainer.checkpoint.huggingface import HfModel
from ultrathink_trainer.data.loader import Cursor, Loader
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.parallel.mesh import build_world
from ultrathink_trainer.parallel.parallelize import build_model

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

SIZES: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
    "tie_word_embeddings": False,
}
EXPERTS = {
    "head_dim": 16, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True,
}  # fmt: skip
MODELS = {"llama": SIZES, "qwen3_moe": SIZES | EXPERTS}
ALONE: dict[str, int] = {}
LAYOUTS = {
    "alone": ALONE,
    "data 2": {"data": 2},
    "tensor 2": {"tensor": 2},
    "pipeline 2": {"pipeline": 2},
    "expert 2": {"data": 2, "expert": 2},
    "tensor 2, expert 2": {"tensor": 2, "expert": 2},
}
CASES = [(model, layout) for model in MODELS for layout in LAYOUTS if model == "qwen3_moe" or "expert" not in layout]


class Reference:
    """A random model, saved in two files, as large ones are."""

    def __init__(self, name: str, folder: Path) -> None:
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(name, **MODELS[name])
        self.model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        with torch.no_grad():
            for key, tensor in self.model.named_parameters():
                torch.nn.init.normal_(tensor, 1.0 if "norm" in key else 0.0, 0.2)
        self.folder, self.name = folder, name
        self.model.save_pretrained(folder, max_shard_size="60KB")
        assert len(list(folder.glob("*.safetensors"))) > 1

    @torch.no_grad()
    def first_loss(self, job: Plan) -> float:
        batch = job.batch
        source = open_source(job.data, seed=job.seed, length=batch.sequence_length, vocabulary=job.model.vocabulary)
        rows, _ = Loader(source, batch.rows, rank=0, ranks=1).next(Cursor(source.fingerprint))
        logits = self.model(rows.tokens_BT).logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits, rows.labels_BT.flatten()).item()


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reference]:
    return {name: Reference(name, tmp_path_factory.mktemp(name)) for name in MODELS}


def job_from(folder: Path, layout: dict[str, int] = ALONE, *, steps: int = 1, **model: Any) -> Plan:
    count = layout.get("data", 1) * layout.get("tensor", 1) * layout.get("pipeline", 1)
    spec = {
        "model": {"from": f"hf:{folder}", **model},
        "data": {"uri": "builtin://stories"},
        "training": {"steps": steps, "globalBatchTokens": 8 * 32, "schedule": {"name": "constant", "warmupSteps": 0}},
        "workers": {"count": count},
        "parallelism": {"data": 1, **layout},
    }
    return plan(JobSpec.model_validate(spec), read_given(f"hf:{folder}"))


@pytest.mark.parametrize(("model", "layout"), CASES, ids=[f"{model}, {layout}" for model, layout in CASES])
def test_the_first_loss_is_the_one_of_transformers(
    model: str, layout: str, references: dict[str, Reference], tmp_path: Path
) -> None:
    reference = references[model]
    job = job_from(reference.folder, LAYOUTS[layout])
    assert job.parameters.total == sum(p.numel() for p in reference.model.parameters())
    assert job.batch.sequence_length == SIZES["max_position_embeddings"]
    assert attempt(job, tmp_path, 1).losses[1] == pytest.approx(reference.first_loss(job), abs=1e-5)


def test_ranks_read_what_they_hold_and_no_more(
    references: dict[str, Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_from(references["qwen3_moe"].folder, {"data": 2, "expert": 2})
    read: list[int] = []
    theirs = HfModel._theirs

    def counted(self: HfModel, name: str, rows: slice) -> torch.Tensor:
        tensor = theirs(self, name, rows)
        read.append(tensor.numel())
        return tensor

    monkeypatch.setattr(HfModel, "_theirs", counted)

    def work(rank: int) -> tuple[int, int]:
        model = build_model(job, build_world(job.mesh, torch.device("cpu")))
        read_weights(job, model.state_dict())
        return sum(read), sum(held.box.numel() for held in hold(dict(model.named_parameters())).values())

    amounts = run_ranks(2, work)
    assert all(read == held for read, held in amounts)
    assert sum(read for read, _ in amounts) == job.parameters.total


def test_later_attempts_go_on_from_checkpoints_and_need_the_folder_no_more(
    references: dict[str, Reference], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(references["llama"].folder, folder)
    whole = attempt(job_from(folder, steps=3), tmp_path / "whole", 1).losses
    one, rest = job_from(folder), job_from(folder, steps=3)
    attempt(one, tmp_path / "runs", 1)
    shutil.rmtree(folder)
    second = attempt(rest, tmp_path / "runs", 2)
    assert [record["step"] for record in second.of("restored")] == [1]
    assert second.losses == {step: whole[step] for step in (2, 3)}


def test_a_bias_that_the_files_do_not_know_starts_at_zero(references: dict[str, Reference], tmp_path: Path) -> None:
    reference = references["qwen3_moe"]
    dre = {"nullExperts": 2, "effort": 0.5, "efforts": [0.5, 1]}
    job = job_from(reference.folder, moe={"balance": "bias"}, dre=dre)
    assert attempt(job, tmp_path, 1).losses[1] == pytest.approx(reference.first_loss(job), abs=1e-5)


def test_a_folder_that_became_another_model_is_refused(references: dict[str, Reference], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(references["llama"].folder, folder)
    job = job_from(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    with pytest.raises(RankFailed, match="UTK0228"):
        attempt(job, tmp_path / "runs", 1)
