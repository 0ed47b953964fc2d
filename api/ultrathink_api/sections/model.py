"""spec.model: the shape of the model, as a preset with any field set beside it, or as a folder's model has it."""

from typing import Literal

from ultrathink_api.base import Section, setting
from ultrathink_api.sections.dre import DRESpec

Router = Literal["softmax", "sigmoid"]
Balance = Literal["bias", "global", "micro", "none"]
RopeScalingKind = Literal["linear", "llama3"]

PRESET_NAMES = (
    *("dense-tiny", "dense-35m", "dense-125m", "dense-355m", "dense-760m", "dense-1b", "dense-3b", "dense-8b"),
    *("dense-13b", "dense-70b", "moe-tiny", "moe-1b", "moe-8b", "moe-30b", "moe-100b"),
)
"""What `model.preset` may be; the planner knows their shapes."""

HUGGING_FACE = "hf:"
"""What the address of a folder in Hugging Face's layout begins with."""

MAX_LAYERS = 256
MAX_WIDTH = 65_536
MAX_EXPERTS = 1_024
MAX_VOCABULARY = 4_194_304


class MoESpec(Section):
    """Mixture of experts, in every block unless told otherwise."""

    experts: int | None = setting(
        "Number of routed experts in a block. Default: the preset's.", effect="immutable", ge=2, le=MAX_EXPERTS
    )
    top_k: int | None = setting(
        "Experts that each token is sent to. Default: the preset's. Costs compute in proportion.",
        effect="immutable",
        ge=1,
        le=64,
    )
    shared: int | None = setting(
        "Number of experts that see every token beside the routed ones. Default: the preset's.",
        effect="immutable",
        ge=0,
        le=64,
    )
    intermediate: int | None = setting(
        "Width of one expert. Default: the preset's.", effect="immutable", ge=1, le=MAX_WIDTH
    )
    router: Router | None = setting(
        "How scores are made of the router's logits: softmax or sigmoid. Default: the preset's.", effect="immutable"
    )
    norm_top_k: bool | None = setting(
        "Whether the weights of the chosen experts are divided by their sum. Default: the preset's.",
        effect="immutable",
    )
    layers: tuple[int, ...] | None = setting(
        "Numbers of the blocks that have experts, from 0; the others have a dense feed-forward. "
        "Default: the preset's, which is all.",
        effect="immutable",
        min_length=1,
        max_length=MAX_LAYERS,
    )
    balance: Balance | None = setting(
        "How load is spread: bias moves a selection bias once a step; global adds a loss on the previous global "
        "batch's load, micro one on each sequence's; none leaves it alone. Default: the preset's.",
        effect="immutable",
    )
    aux_loss: float | None = setting(
        "Weight of the balance loss of global and micro, a layer. Default: 0.01.", effect="immutable", ge=0, le=100
    )
    z_loss: float | None = setting(
        "Weight of the mean squared log-sum-exp of the router's logits, a layer. Default: 0, none.",
        effect="immutable",
        ge=0,
        le=100,
    )
    temperature: float | None = setting(
        "What the router's logits are divided by. Default: 1.", effect="immutable", gt=0, le=1_000
    )
    groups: int | None = setting(
        "Groups of consecutive experts; divides experts. A token goes to its best groups only. Default: 1.",
        effect="immutable",
        ge=1,
        le=MAX_EXPERTS,
    )
    top_groups: int | None = setting(
        "Groups that a token may go to; at most groups. Default: 1.", effect="immutable", ge=1, le=MAX_EXPERTS
    )
    routed_scale: float | None = setting(
        "What the weights of the chosen experts are multiplied by. Default: 1.", effect="immutable", gt=0, le=1_000
    )
    capacity: float | None = setting(
        "Most rows of one sequence that an expert takes, as a multiple of an even share; later positions beyond it are "
        "dropped and counted. Default: none, nothing is dropped.",
        effect="immutable",
        gt=0,
        le=MAX_EXPERTS,
    )


class RopeScalingSpec(Section):
    """Stretches rotary positions over longer sequences than a model was first trained on."""

    kind: RopeScalingKind = setting(
        "linear divides every frequency by factor; llama3 divides the slow ones and leaves the fast ones alone.",
        effect="immutable",
        default=...,
    )
    factor: float = setting("How many times longer sequences get.", effect="immutable", default=..., ge=1, le=1_024)
    low_factor: float | None = setting(
        "llama3 only: wavelengths beyond originalPositions / lowFactor are stretched in full.",
        effect="immutable",
        gt=0,
        le=1_024,
    )
    high_factor: float | None = setting(
        "llama3 only: wavelengths below originalPositions / highFactor stay as they are; more than lowFactor.",
        effect="immutable",
        gt=0,
        le=1_024,
    )
    original_positions: int | None = setting(
        "llama3 only: longest sequence in tokens before the stretching.", effect="immutable", ge=1, le=16_777_216
    )


class ModelSpec(Section):
    """What is trained."""

    preset: str | None = setting(
        "Named shape to start from, dense-tiny to dense-70b or moe-tiny to moe-100b. "
        "Default: none, then every size must be given, or from.",
        effect="immutable",
        max_length=63,
    )
    from_: str | None = setting(
        "hf:DIR, a folder with config.json and safetensors in Hugging Face's layout, seen from where the command runs: "
        "the job starts from that model's weights and has its shape. On a laptop only, as no pod has the folder. "
        "Default: none, weights are drawn.",
        effect="immutable",
        alias="from",
        min_length=1,
        max_length=1_024,
    )
    layers: int | None = setting("Number of blocks. Default: the preset's.", effect="immutable", ge=1, le=MAX_LAYERS)
    hidden: int | None = setting(
        "Width of the residual stream. Default: the preset's.", effect="immutable", ge=1, le=MAX_WIDTH
    )
    heads: int | None = setting("Number of query heads. Default: the preset's.", effect="immutable", ge=1, le=1_024)
    kv_heads: int | None = setting(
        "Number of key and value heads; divides heads. Default: the preset's.", effect="immutable", ge=1, le=1_024
    )
    head_dim: int | None = setting(
        "Width of one head; even. Default: the preset's.", effect="immutable", ge=2, le=1_024
    )
    intermediate: int | None = setting(
        "Width of the feed-forward of a dense block. Default: the preset's.", effect="immutable", ge=1, le=MAX_WIDTH
    )
    vocabulary: int | None = setting(
        "Number of token ids. Default: the preset's.", effect="immutable", ge=2, le=MAX_VOCABULARY
    )
    max_positions: int | None = setting(
        "Longest sequence in tokens. Default: the preset's.", effect="immutable", ge=1, le=16_777_216
    )
    rope_theta: float | None = setting(
        "Base of the rotary position embedding. Default: the preset's.", effect="immutable", gt=0, le=1e12
    )
    rope_fraction: float | None = setting(
        "Share of a head's width that is rotated by position; the rest carries none. Default: the preset's, 1.",
        effect="immutable",
        gt=0,
        le=1,
    )
    rope_scaling: RopeScalingSpec | None = setting(
        "Stretches rotary positions. Default: the preset's, none.", effect="immutable"
    )
    attention_bias: bool | None = setting(
        "Whether queries, keys and values have a bias. Default: the preset's, no.", effect="immutable"
    )
    window_size: int | None = setting(
        "How many tokens a token looks at, itself counted. Default: the preset's, all before it.",
        effect="immutable",
        ge=1,
        le=16_777_216,
    )
    norm_epsilon: float | None = setting(
        "Added under the root of every norm. Default: the preset's.", effect="immutable", gt=0, le=1
    )
    post_norms: bool | None = setting(
        "Whether what attention and feed-forward add to the residual stream is normalised once more. "
        "Default: the preset's, no.",
        effect="immutable",
    )
    tied_embeddings: bool | None = setting(
        "Whether the output head is the embedding. Default: the preset's.", effect="immutable"
    )
    qk_norm: bool | None = setting(
        "Whether queries and keys are normalised per head. Default: the preset's.", effect="immutable"
    )
    moe: MoESpec | None = setting(
        "Mixture of experts. Default: the preset's; a dense preset with it becomes one with experts.",
        effect="immutable",
    )
    dre: DRESpec | None = setting(
        "Adaptive compute; needs experts. Default: none, every token uses topK experts.", effect="immutable"
    )
