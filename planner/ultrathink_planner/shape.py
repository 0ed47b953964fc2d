"""The resolved shape of a model."""

from pydantic import Field

from ultrathink_api.base import Section
from ultrathink_api.sections.model import Balance, RopeScalingSpec, Router

TRAINING_ONLY = frozenset({"balance", "aux_loss", "z_loss"})
"""Fields of the experts that say how a model is trained, not what it computes."""


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


class DREShape(Section):
    """Adaptive compute, resolved."""

    null_experts: int = Field(description="Experts that compute nothing.")
    effort: float = Field(description="Share of topK used when the model is measured.")
    efforts: tuple[float, ...] = Field(description="Efforts that training takes turns with.")


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
    dre: DREShape | None = Field(default=None, description="Adaptive compute.")

    @property
    def rotary_width(self) -> int:
        """How much of a head is rotated: its first so many numbers."""
        return int(self.head_dim * self.rope_fraction)

    def has_experts(self, layer: int) -> bool:
        """Whether a block has experts in the place of its dense feed-forward."""
        return self.moe is not None and (self.moe.layers is None or layer in self.moe.layers)


DEFAULT_EXPERTS = MoEShape(
    experts=8, top_k=2, shared=1, intermediate=128, router="softmax", norm_top_k=True, balance="bias"
)
