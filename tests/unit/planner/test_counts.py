"""Parameter counts are exact: they are the ones that the makers of well-known models publish."""

import pytest

from ultrathink_planner import ModelShape, MoEShape
from ultrathink_planner.parameters import parameters
from ultrathink_planner.presets import PRESETS


def shape(**sizes: object) -> ModelShape:
    common = {"max_positions": 4096, "rope_theta": 1e4, "tied_embeddings": False, "qk_norm": False, "moe": None}
    return ModelShape(norm_epsilon=1e-6, **{**common, **sizes})


LLAMA_3_8B = shape(layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, intermediate=14336, vocabulary=128256)
QWEN_3_0_6B = shape(
    layers=28, hidden=1024, heads=16, kv_heads=8, head_dim=128, intermediate=3072, vocabulary=151936,
    tied_embeddings=True, qk_norm=True,
)  # fmt: skip
MIXTRAL_8X7B = shape(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, intermediate=1, vocabulary=32000,
    moe=MoEShape(
        experts=8, top_k=2, shared=0, intermediate=14336, router="softmax", norm_top_k=True, balance="none"
    ),
)  # fmt: skip
QWEN_3_30B_A3B = shape(
    layers=48, hidden=2048, heads=32, kv_heads=4, head_dim=128, intermediate=1, vocabulary=151936, qk_norm=True,
    moe=MoEShape(
        experts=128, top_k=8, shared=0, intermediate=768, router="softmax", norm_top_k=True, balance="none"
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "total", "active"),
    [
        (LLAMA_3_8B, 8_030_261_248, 8_030_261_248),
        (QWEN_3_0_6B, 596_049_920, 596_049_920),
        (MIXTRAL_8X7B, 46_702_792_704, 12_879_925_248),
        (QWEN_3_30B_A3B, 30_532_122_624, 3_353_032_704),
    ],
    ids=["Llama 3 8B", "Qwen3 0.6B", "Mixtral 8x7B", "Qwen3 30B-A3B"],
)
def test_counts_are_the_published_ones(model: ModelShape, total: int, active: int) -> None:
    assert sum(p.count for p in parameters(model)) == total
    assert sum(p.active for p in parameters(model)) == active


COUNTS = {
    # Llama 3.2's 1B and 3B, Llama 3's 8B and 70B, Llama 2's 13B, Qwen3-30B-A3B and GLM-4.5-Air are published sizes.
    "dense-tiny": (984_192, 984_192),
    "dense-35m": (35_197_824, 35_197_824),
    "dense-125m": (123_587_328, 123_587_328),
    "dense-355m": (355_124_224, 355_124_224),
    "dense-760m": (756_819_456, 756_819_456),
    "dense-1b": (1_235_814_400, 1_235_814_400),
    "dense-3b": (3_212_749_824, 3_212_749_824),
    "dense-8b": (8_030_261_248, 8_030_261_248),
    "dense-13b": (13_015_864_320, 13_015_864_320),
    "dense-70b": (70_553_706_496, 70_553_706_496),
    "moe-tiny": (2_167_936, 988_288),
    "moe-1b": (5_283_321_856, 1_055_463_424),
    "moe-8b": (8_026_955_776, 1_685_168_128),
    "moe-30b": (30_532_122_624, 3_353_032_704),
    "moe-100b": (106_852_245_504, 13_424_123_904),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_as_large_as_it_says(name: str) -> None:
    held = list(parameters(PRESETS[name].shape))
    assert (sum(p.count for p in held), sum(p.active for p in held)) == COUNTS[name]


def test_names_are_unique_and_shared_experts_add_one_wide_mlp() -> None:
    moe = MIXTRAL_8X7B.moe
    assert moe is not None
    shared = MIXTRAL_8X7B.model_copy(update={"moe": moe.model_copy(update={"shared": 2})})
    names = [p.name for p in parameters(shared)]
    assert len(names) == len(set(names))
    more = sum(p.count for p in parameters(shared)) - sum(p.count for p in parameters(MIXTRAL_8X7B))
    assert more == 32 * 3 * 4096 * 2 * 14336
