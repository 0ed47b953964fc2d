"""Named shapes, with the training defaults that suit them."""

from dataclasses import dataclass
from typing import Any

from ultrathink_planner.shape import DEFAULT_EXPERTS, ModelShape, MoEShape


@dataclass(frozen=True, slots=True)
class Preset:
    """A named shape with the training defaults that suit it."""

    shape: ModelShape
    sequence_length: int
    global_batch_tokens: int
    lr: float


def _shape(layers: int, hidden: int, heads: int, head_dim: int, intermediate: int, **more: Any) -> ModelShape:
    common: dict[str, Any] = {
        "kv_heads": heads,
        "vocabulary": 50_304,
        "max_positions": 8_192,
        "rope_theta": 500_000.0,
        "tied_embeddings": False,
        "qk_norm": False,
        "norm_epsilon": 1e-5,
    }
    sizes = {
        "layers": layers, "hidden": hidden, "heads": heads, "head_dim": head_dim, "intermediate": intermediate,
    }  # fmt: skip
    return ModelShape(**{**common, **sizes, **more})


def _experts(experts: int, top_k: int, width: int, **more: Any) -> MoEShape:
    """Sigmoid scores with a balance bias and one shared expert: what GLM-4.5 and DeepSeek-V3 found to train well."""
    common = {"shared": 1, "router": "sigmoid", "norm_top_k": True, "balance": "bias"}
    return MoEShape(**{**common, "experts": experts, "top_k": top_k, "intermediate": width, **more})


_TINY = _shape(
    4, 128, 4, 32, 384, vocabulary=512, max_positions=512, rope_theta=10_000.0, norm_epsilon=1e-6
)  # fmt: skip
_LLAMA_3 = {"kv_heads": 8, "vocabulary": 128_256}
"""Grouped queries and the vocabulary of Llama 3, whose sizes dense-1b, -3b, -8b and -70b are."""

_LARGE_BATCH = 4_194_304

PRESETS: dict[str, Preset] = {
    "dense-tiny": Preset(_TINY, sequence_length=128, global_batch_tokens=2_048, lr=3e-3),
    "dense-35m": Preset(_shape(6, 384, 6, 64, 1_024, vocabulary=32_000), 1_024, 131_072, 1e-3),
    "dense-125m": Preset(_shape(12, 768, 12, 64, 2_048, tied_embeddings=True), 2_048, 524_288, 6e-4),
    "dense-355m": Preset(_shape(24, 1_024, 16, 64, 2_752, tied_embeddings=True), 2_048, 524_288, 4e-4),
    "dense-760m": Preset(_shape(24, 1_536, 12, 128, 4_096, tied_embeddings=True), 2_048, 524_288, 3e-4),
    "dense-1b": Preset(_shape(16, 2_048, 32, 64, 8_192, tied_embeddings=True, **_LLAMA_3), 4_096, 1_048_576, 3e-4),
    "dense-3b": Preset(_shape(28, 3_072, 24, 128, 8_192, tied_embeddings=True, **_LLAMA_3), 4_096, 2_097_152, 3e-4),
    "dense-8b": Preset(_shape(32, 4_096, 32, 128, 14_336, **_LLAMA_3), 8_192, _LARGE_BATCH, 3e-4),
    "dense-13b": Preset(_shape(40, 5_120, 40, 128, 13_824, vocabulary=32_000), 4_096, _LARGE_BATCH, 3e-4),
    "dense-70b": Preset(_shape(80, 8_192, 64, 128, 28_672, **_LLAMA_3), 8_192, _LARGE_BATCH, 1.5e-4),
    "moe-tiny": Preset(_TINY.model_copy(update={"moe": DEFAULT_EXPERTS}), 128, 2_048, 3e-3),
    "moe-1b": Preset(
        _shape(16, 2_048, 16, 128, 6_144, kv_heads=4, qk_norm=True, moe=_experts(64, 8, 768)), 4_096, 1_048_576, 4e-4
    ),
    "moe-8b": Preset(
        _shape(24, 2_048, 16, 128, 6_144, kv_heads=4, vocabulary=100_352, qk_norm=True, moe=_experts(64, 8, 768)),
        4_096, 2_097_152, 4e-4,
    ),
    "moe-30b": Preset(  # Qwen3-30B-A3B's sizes
        _shape(
            48, 2_048, 32, 128, 6_144, kv_heads=4, vocabulary=151_936, qk_norm=True, rope_theta=1e6, norm_epsilon=1e-6,
            moe=_experts(128, 8, 768, shared=0, router="softmax", balance="global"),
        ),
        4_096, _LARGE_BATCH, 3e-4,
    ),
    "moe-100b": Preset(  # GLM-4.5-Air's sizes
        _shape(
            46, 4_096, 96, 128, 10_944, kv_heads=8, vocabulary=151_552, rope_theta=1e6, rope_fraction=0.5,
            attention_bias=True, moe=_experts(128, 8, 1_408, layers=tuple(range(1, 46))),
        ),
        4_096, _LARGE_BATCH, 3e-4,
    ),
}  # fmt: skip

WITHOUT_PRESET = Preset(_TINY, sequence_length=1_024, global_batch_tokens=524_288, lr=3e-4)
"""Training defaults of a shape that has no name; its sizes are never used (rule UTK0122)."""
