"""Qwen3-MoE: normalised queries and keys, experts chosen by softmax, in every block or in some."""

from collections.abc import Iterator

from ultrathink_planner import ModelShape, MoEShape

from .common import attention, blocks, ends, experts, mlp, mlp_norm, said, sizes
from .family import Config, Entry, Family, need, refuse_unless


def shape_of(config: Config) -> ModelShape:
    refuse_unless(config, "attention_bias", False)
    layers, every = need(config, "num_hidden_layers"), config.get("decoder_sparse_step") or 1
    dense = set(config.get("mlp_only_layers") or ())
    chosen = [layer for layer in range(layers) if layer not in dense and (layer + 1) % every == 0]
    moe = MoEShape(
        experts=config.get("num_experts") or need(config, "num_local_experts"),
        top_k=need(config, "num_experts_per_tok"),
        shared=0,
        intermediate=need(config, "moe_intermediate_size"),
        router="softmax",
        norm_top_k=bool(config.get("norm_topk_prob", False)),
        balance="none",
        layers=blocks(chosen, layers),
    )
    window = config.get("sliding_window") if config.get("use_sliding_window") else None
    return ModelShape(**sizes(config), qk_norm=True, window_size=window, moe=moe)


def config_of(shape: ModelShape) -> Config:
    moe = shape.moe
    assert moe is not None, "a dense shape is another family's"
    return said(
        shape,
        attention_bias=False,
        num_experts=moe.experts,
        num_experts_per_tok=moe.top_k,
        moe_intermediate_size=moe.intermediate,
        norm_topk_prob=moe.norm_top_k,
        decoder_sparse_step=1,
        mlp_only_layers=[layer for layer in range(shape.layers) if not shape.has_experts(layer)],
        use_sliding_window=shape.window_size is not None,
        sliding_window=shape.window_size,
    )


def entries(shape: ModelShape) -> Iterator[Entry]:
    yield from ends(shape)
    for layer in range(shape.layers):
        yield from attention(shape, layer)
        if shape.has_experts(layer):
            yield mlp_norm(layer)
            yield from experts(layer, "mlp")
        else:
            yield from mlp(layer)


FAMILY = Family("qwen3_moe", "Qwen3MoeForCausalLM", shape_of, config_of, entries)
