"""What all families share: names of attention and norms, and how sizes and rotary positions are said."""

from collections.abc import Iterator
from typing import Any

from ultrathink_api.sections.model import RopeScalingSpec
from ultrathink_planner import ModelShape

from .family import Config, Entry, need, refuse_unless, unfit

LAYER = "model.layers.{layer}"


def sizes(config: Config, *, theta: float = 10_000.0, fraction: float = 1.0) -> dict[str, Any]:
    """The fields of a shape that every config says alike; `theta` and `fraction` are the family's defaults."""
    refuse_unless(config, "hidden_act", "silu", "swish")
    heads, hidden = need(config, "num_attention_heads"), need(config, "hidden_size")
    rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    return {
        "layers": need(config, "num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or hidden // heads,
        "intermediate": need(config, "intermediate_size"),
        "vocabulary": need(config, "vocab_size"),
        "max_positions": need(config, "max_position_embeddings"),
        "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or theta),
        "rope_fraction": float(rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or fraction),
        "rope_scaling": _scaling(rope, config),
        "tied_embeddings": bool(config.get("tie_word_embeddings", False)),
        "norm_epsilon": float(need(config, "rms_norm_eps")),
    }


def _scaling(rope: dict[str, Any], config: Config) -> RopeScalingSpec | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScalingSpec(kind="linear", factor=rope["factor"])
    if kind != "llama3":
        raise unfit("rope_parameters.rope_type", f"{kind!r} cannot be computed, only default, linear and llama3")
    return RopeScalingSpec(
        kind="llama3",
        factor=rope["factor"],
        low_factor=rope["low_freq_factor"],
        high_factor=rope["high_freq_factor"],
        original_positions=rope.get("original_max_position_embeddings") or need(config, "max_position_embeddings"),
    )


def said(shape: ModelShape, **more: Any) -> Config:
    """The same the other way."""
    return {
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.max_positions,
        "rope_theta": shape.rope_theta,
        "rope_parameters": _rope(shape),
        "tie_word_embeddings": shape.tied_embeddings,
        "rms_norm_eps": shape.norm_epsilon,
        "hidden_act": "silu",
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **more,
    }


def _rope(shape: ModelShape) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_theta": shape.rope_theta, "rope_type": "default"}
    scaling = shape.rope_scaling
    if scaling is not None:
        rope |= {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            rope |= {
                "low_freq_factor": scaling.low_factor,
                "high_freq_factor": scaling.high_factor,
                "original_max_position_embeddings": scaling.original_positions,
            }
    return rope


def ends(shape: ModelShape) -> Iterator[Entry]:
    """What stands before the first and after the last block."""
    yield Entry(("embed.weight",), ("model.embed_tokens.weight",))
    yield Entry(("norm.weight",), ("model.norm.weight",))
    if not shape.tied_embeddings:
        yield Entry(("head.weight",), ("lm_head.weight",))


def attention(shape: ModelShape, layer: int, *, turned: bool = False) -> Iterator[Entry]:
    """Attention and the norm before it; `turned` where the file rotates pairs of neighbours."""
    ours, theirs = f"layers.{layer}", LAYER.format(layer=layer)
    yield Entry((f"{ours}.attn_norm.weight",), (f"{theirs}.input_layernorm.weight",))
    kinds = ("weight", "bias") if shape.attention_bias else ("weight",)
    heads = {"q": shape.heads, "k": shape.kv_heads, "v": 0}
    for kind in kinds:
        for name, count in heads.items():
            file_name = f"{theirs}.self_attn.{name}_proj.{kind}"
            yield Entry((f"{ours}.attn.{name}.{kind}",), (file_name,), turned_heads=count if turned else 0)
    yield Entry((f"{ours}.attn.o.weight",), (f"{theirs}.self_attn.o_proj.weight",))
    if shape.qk_norm:
        for name in ("q_norm", "k_norm"):
            yield Entry((f"{ours}.attn.{name}.weight",), (f"{theirs}.self_attn.{name}.weight",))


def swiglu(ours: str, theirs: str) -> Iterator[Entry]:
    """A gated MLP."""
    for name in ("gate", "up", "down"):
        yield Entry((f"{ours}.{name}.weight",), (f"{theirs}.{name}_proj.weight",))


def mlp(layer: int, *, norm: str = "post_attention_layernorm") -> Iterator[Entry]:
    """The dense feed-forward and the norm before it."""
    yield mlp_norm(layer, norm)
    yield from swiglu(f"layers.{layer}.mlp", LAYER.format(layer=layer) + ".mlp")


def mlp_norm(layer: int, norm: str = "post_attention_layernorm") -> Entry:
    return Entry((f"layers.{layer}.mlp_norm.weight",), (f"{LAYER.format(layer=layer)}.{norm}.weight",))


def experts(
    layer: int, at: str, names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
) -> Iterator[Entry]:
    """Router and experts below `at`; `names` are those of gate, up and down."""
    ours, theirs = f"layers.{layer}.moe", f"{LAYER.format(layer=layer)}.{at}"
    gate, up, down = (f"{theirs}.experts.{{expert}}.{name}.weight" for name in names)
    yield Entry((f"{ours}.router.weight",), (f"{theirs}.gate.weight",))
    yield Entry((f"{ours}.experts.gate_up",), (gate, up))
    yield Entry((f"{ours}.experts.down",), (down,))


def blocks(layers: range | list[int], of: int) -> tuple[int, ...] | None:
    """Blocks with experts as a shape says them: nothing where all have."""
    return None if len(layers) == of else tuple(layers)
