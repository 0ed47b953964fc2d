"""Parameter counts are exact: they are the ones that the makers of well-known models publish."""

import pytest

from ultrathink_planner import ModelShape, MoEShape
from ultrathink_planner.parameters import parameters


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


def test_names_are_unique_and_shared_experts_add_one_wide_mlp() -> None:
    moe = MIXTRAL_8X7B.moe
    assert moe is not None
    shared = MIXTRAL_8X7B.model_copy(update={"moe": moe.model_copy(update={"shared": 2})})
    names = [p.name for p in parameters(shared)]
    assert len(names) == len(set(names))
    more = sum(p.count for p in parameters(shared)) - sum(p.count for p in parameters(MIXTRAL_8X7B))
    assert more == 32 * 3 * 4096 * 2 * 14336
