"""spec.training: how long, how fast and how exactly."""

from typing import Literal

from ultrathink_api.base import Section, setting

Precision = Literal["fp32", "fp64", "bf16", "fp16"]
Engine = Literal["torch", "deepspeed"]

MAX_STEPS = 1_000_000_000


class OptimizerSpec(Section):
    """The optimizer."""

    name: Literal["adamw", "lion", "muon"] = setting(
        "Optimizer: adamw; lion (half of adamw's state; wants a learning rate some 5 times lower); or muon, for the "
        "matrices inside blocks, beside adamw for the rest at the same learning rate. Default: adamw.",
        effect="immutable",
        default="adamw",
    )
    lr: float | None = setting("Highest learning rate. Default: the preset's.", effect="restart", gt=0, le=10)
    weight_decay: float = setting(
        "Decoupled weight decay, on matrices only. Default: 0.1.", effect="restart", default=0.1, ge=0, le=10
    )
    beta1: float = setting("Decay of the first moment. Default: 0.9.", effect="restart", default=0.9, ge=0, lt=1)
    beta2: float = setting("Decay of the second moment. Default: 0.95.", effect="restart", default=0.95, ge=0, lt=1)
    epsilon: float = setting("Added to the denominator. Default: 1e-8.", effect="restart", default=1e-8, gt=0, le=1)


class ScheduleSpec(Section):
    """The learning rate over the steps."""

    name: Literal["cosine", "linear", "wsd", "constant"] = setting(
        "Shape after warm-up: cosine, linear, wsd (warm-up, stable, decay) or constant. Default: cosine.",
        effect="restart",
        default="cosine",
    )
    warmup_steps: int | None = setting(
        "Steps of linear warm-up. Default: a tenth of the steps, at most 2000.", effect="restart", ge=0, le=MAX_STEPS
    )
    decay_fraction: float = setting(
        "Share of the steps that wsd decays over, at the end. Default: 0.2.", effect="restart", default=0.2, gt=0, le=1
    )
    min_ratio: float = setting(
        "Lowest learning rate as a share of the highest. Default: 0.1.", effect="restart", default=0.1, ge=0, le=1
    )


class ValidationSpec(Section):
    """Held-out loss."""

    every_steps: int | None = setting(
        "Steps between two measurements. Default: a quarter of the steps. The last step is always measured.",
        effect="restart",
        ge=1,
        le=MAX_STEPS,
    )
    patience: int | None = setting(
        "Measurements in a row that may pass without a loss below the lowest so far; then training ends, and well. "
        "Default: none, it goes on to its last step.",
        effect="restart",
        ge=1,
        le=1_000,
    )


class ZeroSpec(Section):
    """What DeepSpeed's ZeRO cuts over the ranks."""

    stage: int = setting(
        "1 cuts the optimizer's state over the ranks, 2 gradients too, 3 parameters too (as the engine torch does): "
        "each needs less memory and talks more. Default: 3.",
        effect="restart",
        default=3,
        ge=1,
        le=3,
    )


class TrainingSpec(Section):
    """How long, how fast and how exactly."""

    steps: int | None = setting(
        "Optimizer steps. Default: none; either steps or tokens must be given.", effect="restart", ge=1, le=MAX_STEPS
    )
    tokens: int | None = setting(
        "Tokens to train on, instead of steps; rounded up to whole steps. Default: none.",
        effect="restart",
        ge=1,
        le=1_000_000_000_000_000,
    )
    global_batch_tokens: int | None = setting(
        "Tokens in one optimizer step, over all ranks. Default: the preset's, never from the number of workers.",
        effect="immutable",
        ge=1,
        le=1_000_000_000,
    )
    micro_batch_sequences: int | None = setting(
        "Rows that one rank computes at once. Default: the most that fit the batch, at most 8.",
        effect="restart",
        ge=1,
        le=65_536,
    )
    seed: int = setting(
        "Seed of the initial parameters and of the data order. Default: 0.",
        effect="immutable",
        default=0,
        ge=0,
        le=2_147_483_647,
    )
    precision: Precision = setting(
        "Arithmetic of the blocks: fp32; bf16 or fp16 (with a loss scale), with parameters, gradients and optimizer "
        "kept in fp32; or fp64 for proofs on CPU. Default: fp32.",
        effect="immutable",
        default="fp32",
    )
    engine: Engine = setting(
        "What trains: torch (all axes of parallelism) or deepspeed (ZeRO on the data axis, AdamW, fp32 or bf16). A "
        "job moves from one to the other at a checkpoint. Default: torch.",
        effect="restart",
        default="torch",
    )
    zero: ZeroSpec | None = setting(
        "What the engine deepspeed cuts over the ranks. Default: stage 3; only with engine: deepspeed.",
        effect="restart",
    )
    activation_checkpointing: bool = setting(
        "Keep each block's input only and compute the rest again in backward: much less memory, about a third more "
        "compute. Default: false.",
        effect="restart",
        default=False,
    )
    optimizer: OptimizerSpec = setting("The optimizer. Default: adamw.", effect="restart", default=OptimizerSpec)
    schedule: ScheduleSpec = setting(
        "The learning rate over the steps. Default: cosine.", effect="restart", default=ScheduleSpec
    )
    clip_norm: float | None = setting(
        "Longest gradient, as its norm over all parameters; longer ones are scaled. Default: 1.0; 0 means no limit.",
        effect="restart",
        default=1.0,
        ge=0,
        le=1e6,
    )
    validation: ValidationSpec = setting(
        "Held-out loss. Default: four times a run.", effect="restart", default=ValidationSpec
    )
