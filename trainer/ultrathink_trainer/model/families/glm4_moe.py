"""GLM-4.5: sigmoid routers with a balance bias, shared experts, dense first blocks, part of a head rotated."""

from collections.abc import Iterator

from ultrathink_planner import ModelShape, MoEShape

from .common import LAYER, attention, blocks, ends, experts, mlp, mlp_norm, said, sizes, swiglu
from .family import Config, Entry, Family, need
from .glm4 import FRACTION


def shape_of(config: Config) -> ModelShape:
    layers, dense = need(config, "num_hidden_layers"), config.get("first_k_dense_replace", 1)
    moe = MoEShape(
        experts=config.get("n_routed_experts") or need(config, "num_local_experts"),
        top_k=need(config, "num_experts_per_tok"),
        shared=config.get("n_shared_experts", 1),
        intermediate=need(config, "moe_intermediate_size"),
        router="sigmoid",
        norm_top_k=bool(config.get("norm_topk_prob", True)),
        balance="bias",
        routed_scale=float(config.get("routed_scaling_factor", 1.0)),
        groups=config.get("n_group") or 1,
        top_groups=config.get("topk_group") or 1,
        layers=blocks(range(dense, layers), layers),
    )
    return ModelShape(
        **sizes(config, fraction=FRACTION),
        qk_norm=bool(config.get("use_qk_norm", False)),
        attention_bias=bool(config.get("attention_bias", False)),
        moe=moe,
    )


def config_of(shape: ModelShape) -> Config:
    moe = shape.moe
    assert moe is not None, "a dense shape is another family's"
    config = said(
        shape,
        partial_rotary_factor=shape.rope_fraction,
        attention_bias=shape.attention_bias,
        use_qk_norm=shape.qk_norm,
        n_routed_experts=moe.experts,
        num_experts_per_tok=moe.top_k,
        n_shared_experts=max(moe.shared, 1),  # the family always has one: a shape without is refused by comparison
        moe_intermediate_size=moe.intermediate,
        norm_topk_prob=moe.norm_top_k,
        routed_scaling_factor=moe.routed_scale,
        n_group=moe.groups,
        topk_group=moe.top_groups,
        first_k_dense_replace=next(filter(shape.has_experts, range(shape.layers)), shape.layers),
        num_nextn_predict_layers=0,
    )
    config["rope_parameters"]["partial_rotary_factor"] = shape.rope_fraction
    return config


def entries(shape: ModelShape) -> Iterator[Entry]:
    yield from ends(shape)
    for layer in range(shape.layers):
        yield from attention(shape, layer)
        if not shape.has_experts(layer):
            yield from mlp(layer)
            continue
        ours, theirs = f"layers.{layer}.moe", LAYER.format(layer=layer)
        yield mlp_norm(layer)
        yield from experts(layer, "mlp")
        yield Entry((f"{ours}.bias",), (f"{theirs}.mlp.gate.e_score_correction_bias",))
        yield from swiglu(f"{ours}.shared", f"{theirs}.mlp.shared_experts")


def may_leave(shape: ModelShape) -> tuple[str, ...]:
    """Multi-token prediction stands as one more block after the last."""
    return (rf"model\.layers\.{shape.layers}\..+",)


FAMILY = Family("glm4_moe", "Glm4MoeForCausalLM", shape_of, config_of, entries, may_leave)
