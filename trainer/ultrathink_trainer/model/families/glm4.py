"""GLM-4, dense: part of a head rotated in pairs of neighbours, biases, norms after, gate and up in one matrix."""

from collections.abc import Iterator

from ultrathink_planner import ModelShape

from .common import LAYER, attention, ends, mlp_norm, said, sizes
from .family import Config, Entry, Family

FRACTION = 0.5
"""What GLM rotates of a head unless it says otherwise."""


def shape_of(config: Config) -> ModelShape:
    bias = bool(config.get("attention_bias", True))
    fields = sizes({"head_dim": 128, **config}, fraction=FRACTION)
    return ModelShape(**fields, qk_norm=False, attention_bias=bias, post_norms=True)


def config_of(shape: ModelShape) -> Config:
    config = said(shape, attention_bias=shape.attention_bias, partial_rotary_factor=shape.rope_fraction)
    config["rope_parameters"]["partial_rotary_factor"] = shape.rope_fraction
    return config


def entries(shape: ModelShape) -> Iterator[Entry]:
    yield from ends(shape)
    for layer in range(shape.layers):
        ours, theirs = f"layers.{layer}", LAYER.format(layer=layer)
        yield from attention(shape, layer, turned=True)
        yield Entry((f"{ours}.attn_post_norm.weight",), (f"{theirs}.post_self_attn_layernorm.weight",))
        yield mlp_norm(layer)
        yield Entry((f"{ours}.mlp.gate.weight", f"{ours}.mlp.up.weight"), (f"{theirs}.mlp.gate_up_proj.weight",))
        yield Entry((f"{ours}.mlp.down.weight",), (f"{theirs}.mlp.down_proj.weight",))
        yield Entry((f"{ours}.mlp_post_norm.weight",), (f"{theirs}.post_mlp_layernorm.weight",))


FAMILY = Family("glm4", "Glm4ForCausalLM", shape_of, config_of, entries)
