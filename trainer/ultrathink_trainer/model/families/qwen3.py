"""Qwen3: dense, with normalised queries and keys."""

from collections.abc import Iterator

from ultrathink_planner import ModelShape

from .common import attention, ends, mlp, said, sizes
from .family import Config, Entry, Family, refuse_unless


def shape_of(config: Config) -> ModelShape:
    refuse_unless(config, "attention_bias", False)
    refuse_unless(config, "use_sliding_window", False)
    # Qwen3's default is 128, whatever hidden and heads are.
    return ModelShape(**sizes({"head_dim": 128, **config}), qk_norm=True)


def config_of(shape: ModelShape) -> Config:
    return said(shape, attention_bias=False, use_sliding_window=False)


def entries(shape: ModelShape) -> Iterator[Entry]:
    yield from ends(shape)
    for layer in range(shape.layers):
        yield from attention(shape, layer)
        yield from mlp(layer)


FAMILY = Family("qwen3", "Qwen3ForCausalLM", shape_of, config_of, entries)
