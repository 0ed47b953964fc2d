"""Mixtral: experts in every block, chosen by softmax, weighed anew among the chosen."""

from collections.abc import Iterator

from ultrathink_planner import ModelShape, MoEShape

from .common import attention, ends, experts, mlp_norm, said, sizes
from .family import Config, Entry, Family, need


def shape_of(config: Config) -> ModelShape:
    width = need(config, "intermediate_size")
    moe = MoEShape(
        experts=need(config, "num_local_experts"),
        top_k=need(config, "num_experts_per_tok"),
        shared=0,
        intermediate=width,
        router="softmax",
        norm_top_k=True,
        balance="none",
    )
    window = config.get("sliding_window")
    return ModelShape(**sizes(config, theta=1e6), qk_norm=False, window_size=window, moe=moe)


def config_of(shape: ModelShape) -> Config:
    moe = shape.moe
    assert moe is not None, "a dense shape is another family's"
    return said(
        shape,
        intermediate_size=moe.intermediate,
        num_local_experts=moe.experts,
        num_experts_per_tok=moe.top_k,
        sliding_window=shape.window_size,
    )


def entries(shape: ModelShape) -> Iterator[Entry]:
    yield from ends(shape)
    for layer in range(shape.layers):
        yield from attention(shape, layer)
        yield mlp_norm(layer)
        yield from experts(layer, "block_sparse_moe", ("w1", "w3", "w2"))


FAMILY = Family("mixtral", "MixtralForCausalLM", shape_of, config_of, entries)
