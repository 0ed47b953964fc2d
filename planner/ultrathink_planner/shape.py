"""The resolved shape of a model: a preset with what the spec sets beside it."""

from dataclasses import dataclass

from pydantic import Field

from ultrathink_api.base import Section
from ultrathink_api.errors import Problem, Refused
from ultrathink_api.sections.model import Balance, ModelSpec, MoESpec, RopeScalingSpec, Router


class MoEShape(Section):
    """The experts of a block."""

    experts: int = Field(description="Routed experts.")
    top_k: int = Field(description="Experts a token.")
    shared: int = Field(description="Experts that see every token.")
    intermediate: int = Field(description="Width of one expert.")
    router: Router = Field(description="How scores are made.")
    norm_top_k: bool = Field(description="Whether chosen weights are divided by their sum.")
    balance: Balance = Field(description="How load is spread.")
    aux_loss: float = Field(default=0.01, description="Weight of the balance loss, where there is one.")
    z_loss: float = Field(default=0.0, description="Weight of the router's z-loss.")
    temperature: float = Field(default=1.0, description="What logits are divided by.")
    groups: int = Field(default=1, description="Groups of consecutive experts.")
    top_groups: int = Field(default=1, description="Groups that a token may go to.")
    routed_scale: float = Field(default=1.0, description="What chosen weights are multiplied by.")
    capacity: float | None = Field(default=None, description="Most rows of a sequence an expert takes, in even shares.")
    layers: tuple[int, ...] | None = Field(default=None, description="Blocks with experts; none means all.")


class ModelShape(Section):
    """Everything that decides which parameters a model has, and how big they are."""

    layers: int = Field(description="Blocks.")
    hidden: int = Field(description="Width of the residual stream.")
    heads: int = Field(description="Query heads.")
    kv_heads: int = Field(description="Key and value heads.")
    head_dim: int = Field(description="Width of one head.")
    intermediate: int = Field(description="Width of a dense feed-forward.")
    vocabulary: int = Field(description="Token ids.")
    max_positions: int = Field(description="Longest sequence.")
    rope_theta: float = Field(description="Base of the rotary embedding.")
    tied_embeddings: bool = Field(description="Whether the head is the embedding.")
    qk_norm: bool = Field(description="Whether queries and keys are normalised.")
    norm_epsilon: float = Field(description="Added under the root of every norm.")
    rope_fraction: float = Field(default=1.0, description="Share of a head that is rotated.")
    rope_scaling: RopeScalingSpec | None = Field(default=None, description="How positions are stretched.")
    attention_bias: bool = Field(default=False, description="Whether queries, keys and values have a bias.")
    window_size: int | None = Field(default=None, description="Tokens that a token looks at; none means all.")
    post_norms: bool = Field(default=False, description="Whether what is added to the stream is normalised.")
    moe: MoEShape | None = Field(default=None, description="Experts; none in a dense model.")

    @property
    def rotary_width(self) -> int:
        """How much of a head is rotated: its first so many numbers."""
        return int(self.head_dim * self.rope_fraction)

    def has_experts(self, layer: int) -> bool:
        """Whether a block has experts in the place of its dense feed-forward."""
        return self.moe is not None and (self.moe.layers is None or layer in self.moe.layers)


@dataclass(frozen=True, slots=True)
class Preset:
    """A named shape with the training defaults that suit it."""

    shape: ModelShape
    sequence_length: int
    global_batch_tokens: int
    lr: float


DEFAULT_EXPERTS = MoEShape(
    experts=8, top_k=2, shared=1, intermediate=128, router="softmax", norm_top_k=True, balance="bias"
)

_TINY = ModelShape(
    layers=4,
    hidden=128,
    heads=4,
    kv_heads=4,
    head_dim=32,
    intermediate=384,
    vocabulary=512,
    max_positions=512,
    rope_theta=10_000.0,
    tied_embeddings=False,
    qk_norm=False,
    norm_epsilon=1e-6,
    moe=None,
)

PRESETS: dict[str, Preset] = {
    "dense-tiny": Preset(_TINY, sequence_length=128, global_batch_tokens=2_048, lr=3e-3),
    "moe-tiny": Preset(
        _TINY.model_copy(update={"moe": DEFAULT_EXPERTS}), sequence_length=128, global_batch_tokens=2_048, lr=3e-3
    ),
}

WITHOUT_PRESET = Preset(_TINY, sequence_length=1_024, global_batch_tokens=524_288, lr=3e-4)
"""Training defaults of a shape that has no name; its sizes are never used (rule UTK0122)."""


def preset_of(spec: ModelSpec) -> Preset:
    """The preset that the spec names."""
    if spec.preset is None:
        return WITHOUT_PRESET
    if spec.preset not in PRESETS:
        raise Refused(
            Problem(
                code="UTK0121",
                field="spec.model.preset",
                message=f"there is no preset {spec.preset!r}",
                fix=f"use one of: {', '.join(sorted(PRESETS))}",
            )
        )
    return PRESETS[spec.preset]


def resolve(spec: ModelSpec) -> ModelShape:
    """The preset's shape with the spec's fields over it."""
    base = preset_of(spec).shape
    said = {name: getattr(spec, name) for name in ModelSpec.model_fields if name not in {"preset", "moe"}}
    shape = base.model_copy(update={name: value for name, value in said.items() if value is not None})
    return shape if spec.moe is None else shape.model_copy(update={"moe": _experts(spec.moe, base.moe)})


def _experts(spec: MoESpec, base: MoEShape | None) -> MoEShape:
    said = {name: getattr(spec, name) for name in MoESpec.model_fields}
    return (base or DEFAULT_EXPERTS).model_copy(update={n: v for n, v in said.items() if v is not None})
