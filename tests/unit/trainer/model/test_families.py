"""Families against transformers itself: the same logits both ways, and nothing over, missing or misunderstood."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ultrathink_api.errors import Refused
from ultrathink_planner import ModelShape, Stage
from ultrathink_trainer.checkpoint.huggingface import open_model, write_model
from ultrathink_trainer.model.families import FAMILIES, family_for
from ultrathink_trainer.model.families.family import tensor_shapes
from ultrathink_trainer.model.layers import Rotary
from ultrathink_trainer.model.transformer import Transformer

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

TOLERANCE = 1e-5
SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
STRETCHED = {
    "rope_type": "llama3", "rope_theta": 20.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2, "norm_topk_prob": True}
GLM_EXPERTS = EXPERTS | {"n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "head_dim": 8}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("llama", {}),
    "Llama, stretched as 3.1": ("llama", {"rope_parameters": STRETCHED}),
    "Llama, stretched evenly, tied": (
        "llama",
        {"tie_word_embeddings": True, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "Mixtral": ("mixtral", {"num_local_experts": 4}),
    "Mixtral with a window": ("mixtral", {"num_local_experts": 4, "sliding_window": 5}),
    "Qwen3": ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "Qwen3-MoE": ("qwen3_moe", EXPERTS | {"num_experts": 8, "head_dim": 16}),
    "Qwen3-MoE, dense in places, weights as they are": (
        "qwen3_moe",
        EXPERTS | {"num_experts": 8, "head_dim": 16, "mlp_only_layers": [1], "norm_topk_prob": False},
    ),
    "GLM-4": ("glm4", {"head_dim": 16, "attention_bias": True}),
    "GLM-4.5-Air": ("glm4_moe", GLM_EXPERTS | {"attention_bias": True}),
    "GLM-4.5": (
        "glm4_moe",
        GLM_EXPERTS | {"use_qk_norm": True, "routed_scaling_factor": 2.5, "n_group": 4, "topk_group": 2},
    ),
}


def theirs(model_type: str, fields: dict[str, Any]) -> Any:
    """A random small model of transformers, with nothing left at zero or one."""
    config = transformers.AutoConfig.for_model(model_type, **(SIZES | fields))
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "inv_freq" not in name:
                torch.nn.init.normal_(tensor, 1.0 if "norm" in name else 0.0, 0.2)
    return model


def ours(shape: ModelShape, tensors: dict[str, torch.Tensor]) -> Transformer:
    whole = Stage(index=0, first_layer=0, last_layer=shape.layers, embedding=True, head=True)
    model = Transformer(shape, whole)
    for module in model.modules():
        if isinstance(module, Rotary):
            module.reset()
    for block in model.moe_layers():
        block.reset()
    left, over = model.load_state_dict(tensors, strict=False)
    assert not over
    assert set(left) <= {"head.weight"}
    return model.eval()


def tokens() -> torch.Tensor:
    return torch.randint(96, (2, 24), generator=torch.Generator().manual_seed(1))


def imported(folder: Path) -> tuple[ModelShape, dict[str, torch.Tensor]]:
    model = open_model(folder)
    return model.shape, {name: model.read(name).float() for name in tensor_shapes(model.shape)}


@pytest.mark.parametrize(("model_type", "fields"), MODELS.values(), ids=MODELS)
def test_a_model_computes_what_transformers_computes_read_and_written(
    model_type: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    reference = theirs(model_type, fields)
    reference.save_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        wanted = reference(tokens()).logits
        shape, tensors = imported(tmp_path / "theirs")
        torch.testing.assert_close(ours(shape, tensors)(tokens()), wanted, rtol=0, atol=TOLERANCE)
        write_model(tmp_path / "ours", shape, tensors.__getitem__)
        again, loading = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / "ours", attn_implementation="eager", output_loading_info=True
        )
        assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"]
        torch.testing.assert_close(again.float().eval()(tokens()).logits, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["Qwen3-MoE", "GLM-4", "GLM-4.5-Air"])
def test_a_box_is_that_part_of_the_whole(name: str, tmp_path: Path) -> None:
    theirs(*MODELS[name]).save_pretrained(tmp_path)
    model = open_model(tmp_path)
    for tensor, shape in tensor_shapes(model.shape).items():
        whole = model.read(tensor)
        assert whole.shape == shape
        for dim in range(len(shape)):
            offsets, lengths = [0] * len(shape), list(shape)
            offsets[dim], lengths[dim] = shape[dim] // 3, shape[dim] // 2
            box = model.read_box(tensor, offsets, lengths)
            torch.testing.assert_close(box, whole.narrow(dim, offsets[dim], lengths[dim]), rtol=0, atol=0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    theirs(*MODELS["GLM-4.5-Air"]).save_pretrained(tmp_path)
    return tmp_path


def change(folder: Path, *, add: dict[str, torch.Tensor] | None = None, drop: str = "") -> None:
    tensors = load_file(folder / "model.safetensors") | (add or {})
    tensors.pop(drop, None)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def configure(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refusal(folder: Path) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        open_model(folder)
    return caught.value.problem.code, caught.value.problem.field


def test_one_tensor_over_is_refused(saved: Path) -> None:
    change(saved, add={"model.layers.1.mlp.experts.8.up_proj.weight": torch.zeros(16, 32)})
    assert refusal(saved) == ("UTK0222", "model.layers.1.mlp.experts.8.up_proj.weight")


def test_one_tensor_missing_is_refused(saved: Path) -> None:
    change(saved, drop="model.layers.2.mlp.experts.7.down_proj.weight")
    assert refusal(saved) == ("UTK0223", "model.layers.2.mlp.experts.7.down_proj.weight")


def test_a_tensor_of_another_shape_is_refused(saved: Path) -> None:
    change(saved, add={"model.norm.weight": torch.zeros(31)})
    assert refusal(saved) == ("UTK0224", "model.norm.weight")


def test_a_layer_that_predicts_more_tokens_may_be_left_and_is_reported(saved: Path) -> None:
    change(saved, add={"model.layers.3.eh_proj.weight": torch.zeros(2, 2)})
    assert open_model(saved).left == ("model.layers.3.eh_proj.weight",)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"model_type": "mamba"}, "UTK0220", "config.json: model_type"),
        ({"hidden_act": "gelu"}, "UTK0221", "config.json: hidden_act"),
        ({"num_hidden_layers": None}, "UTK0221", "config.json: num_hidden_layers"),
        ({"num_hidden_layers": "three"}, "UTK0221", "config.json: a value"),
        ({"vocab_size": [96]}, "UTK0221", "config.json: vocabulary"),
        ({"hidden_size": 1 << 20}, "UTK0221", "config.json: hidden"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "UTK0221", "config.json: rope_parameters.rope_type"),
    ],
)
def test_what_cannot_be_computed_is_refused(saved: Path, fields: dict[str, Any], code: str, field: str) -> None:
    configure(saved, **fields)
    assert refusal(saved) == (code, field)


def test_a_folder_without_a_model_and_a_broken_file_are_refused(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"not tensors at all")
    assert refusal(saved)[0] == "UTK0226"
    (saved / "config.json").unlink()
    assert refusal(saved)[0] == "UTK0226"


def glm() -> ModelShape:
    return FAMILIES["glm4_moe"].shape_of(SIZES | GLM_EXPERTS)


@pytest.mark.parametrize(
    ("shape", "field"),
    [
        (lambda: _with(glm(), router="softmax"), "spec.model.moe.router"),
        (lambda: _with(glm(), temperature=2.0), "spec.model.moe.temperature"),
        (lambda: _with(glm(), layers=(0, 2)), "spec.model.moe.layers"),
        (lambda: _with(glm(), shared=0), "spec.model.moe.shared"),
        (lambda: _with(_mixtral(), balance="bias"), "spec.model.moe.balance"),
        (lambda: _with(_mixtral(), norm_top_k=False), "spec.model.moe.normTopK"),
        (lambda: _mixtral().model_copy(update={"rope_fraction": 0.5}), "spec.model.ropeFraction"),
    ],
)
def test_what_no_family_can_say_is_not_written(shape: Any, field: str) -> None:
    with pytest.raises(Refused) as caught:
        family_for(shape())
    assert (caught.value.problem.code, caught.value.problem.field) == ("UTK0225", field)


def _mixtral() -> ModelShape:
    return FAMILIES["mixtral"].shape_of(SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2})


def _with(shape: ModelShape, **fields: Any) -> ModelShape:
    assert shape.moe is not None
    return shape.model_copy(update={"moe": shape.moe.model_copy(update=fields)})
