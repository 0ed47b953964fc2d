"""Llama: dense, with rotary positions that may be stretched."""

from collections.abc import Iterator

from ultrathink_planner import ModelShape

from .common import attention, ends, mlp, said, sizes
from .family import Config, Entry, Family, refuse_unless


def shape_of(config: Config) -> ModelShape:
    refuse_unless(config, "attention_bias", False)
    refuse_unless(config, "mlp_bias", False)
    return ModelShape(**sizes(config), qk_norm=False)


def config_of(shape: ModelShape) -> Config:
    return said(shape, attention_bias=False, mlp_bias=False)


def entries(shape: ModelShape) -> Iterator[Entry]:
    yield from ends(shape)
    for layer in range(shape.layers):
        yield from attention(shape, layer)
        yield from mlp(layer)


FAMILY = Family("llama", "LlamaForCausalLM", shape_of, config_of, entries)
