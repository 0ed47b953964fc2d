"""What the planner makes of a spec: a pure value that operator, CLI and trainer all take."""

import hashlib
import json

from pydantic import Field

from ultrathink_api.base import Section
from ultrathink_api.sections.training import Engine, OptimizerSpec, Precision, ScheduleSpec
from ultrathink_planner.shape import ModelShape


class Mesh(Section):
    """How many ranks lie on each axis; the last axis varies fastest."""

    pipeline: int = Field(description="Ranks that hold different layers.")
    data: int = Field(description="Ranks that see different rows; parameters are sharded over them.")
    context: int = Field(default=1, description="Ranks that share a row; parameters are sharded over them too.")
    tensor: int = Field(description="Ranks that share one matrix.")
    expert: int = Field(
        default=1, description="Ranks of a stage that hold different experts; borrowed from the others."
    )

    @property
    def stage_ranks(self) -> int:
        """Ranks that hold the same layers."""
        return self.shards * self.tensor

    @property
    def shards(self) -> int:
        """Ranks that parameters are sharded over."""
        return self.data * self.context


class Parameters(Section):
    """Exact counts."""

    total: int = Field(description="All parameters.")
    active: int = Field(description="Parameters that one token passes through.")


class Batch(Section):
    """One optimizer step, in rows."""

    tokens: int = Field(description="Positions in a step, over all ranks.")
    rows: int = Field(description="Rows in a step, over all ranks.")
    sequence_length: int = Field(description="Positions in a row.")
    rows_per_data_rank: int = Field(description="Rows in a step of one data rank.")
    micro_rows: int = Field(description="Rows that a rank computes at once.")
    microbatches: int = Field(description="Micro-batches of a rank in a step.")


class Stage(Section):
    """The part of the model that one pipeline rank holds."""

    index: int = Field(description="Its place in the pipeline.")
    first_layer: int = Field(description="Its first block.")
    last_layer: int = Field(description="The block after its last.")
    embedding: bool = Field(description="Whether it holds the embedding.")
    head: bool = Field(description="Whether it holds the last norm and the head.")


class MemoryBytes(Section):
    """What a rank holds: the first three from one step to the next, the others at the fullest moment of a step."""

    parameters: int = Field(description="Bytes of parameters.")
    gradients: int = Field(description="Bytes of gradients.")
    optimizer: int = Field(description="Bytes of optimizer state.")
    activations: int | None = Field(
        default=None, description="Bytes of activations, and what backward takes beside them; none if not known."
    )
    buffers: int | None = Field(
        default=None, description="Bytes of gathered parameters, gradients on their way and tables; none if not known."
    )
    fullest: int | None = Field(
        default=None,
        description="Bytes at the fullest moment; less than the sum of the others where gradients come later.",
    )


ESTIMATES = ("activations", "buffers", "fullest")


class RankMemory(Section):
    """The fullest rank of a stage."""

    stage: int = Field(description="The stage.")
    memory_bytes: MemoryBytes = Field(description="What it holds.")


class CheckpointPlan(Section):
    """When checkpoints are made: whichever comes first, and always at the end."""

    bytes: int = Field(description="Size of the tensors in one.")
    interval_steps: int | None = Field(default=None, description="Steps between two.")
    interval_seconds: float | None = Field(default=None, description="Seconds between two; with auto, the most.")
    auto: bool = Field(default=False, description="Whether the run finds the seconds by what saves and failures cost.")
    packed: bool | None = Field(default=None, description="Whether pieces are compressed; none means no.")
    grace_seconds: int = Field(description="Seconds for a last one when a pod is asked to stop.")


class DataSource(Section):
    """One data set that rows come from."""

    uri: str = Field(description="Where its tokens are.")
    weight: int = Field(default=1, description="Its share of the rows, of the sum of all weights.")


class DataStage(Section):
    """Other weights of the data sets from a row on."""

    first_row: int = Field(description="The first row that is read by them.")
    weights: tuple[int, ...] = Field(description="One for each data set.")


class Plan(Section):
    """Everything a rank needs to know, and everything a person asks before a run."""

    world_size: int = Field(description="Ranks in all.")
    nodes: int = Field(description="Workers.")
    ranks_per_node: int = Field(description="Ranks of one worker.")
    mesh: Mesh = Field(description="How the ranks are arranged.")
    model: ModelShape = Field(description="The model's resolved shape.")
    weights: str | None = Field(default=None, description="Where the first values are read; none means drawn.")
    parameters: Parameters = Field(description="Exact counts.")
    batch: Batch = Field(description="One optimizer step.")
    steps: int = Field(description="Optimizer steps.")
    seed: int = Field(description="Seed of parameters and data order.")
    precision: Precision = Field(description="Arithmetic.")
    engine: Engine = Field(default="torch", description="What trains.")
    zero_stage: int | None = Field(default=None, description="What DeepSpeed cuts; none with the engine torch.")
    optimizer: OptimizerSpec = Field(description="The optimizer, resolved.")
    schedule: ScheduleSpec = Field(description="The learning rate over the steps, resolved.")
    clip_norm: float = Field(description="Longest gradient; 0 means no limit.")
    activation_checkpointing: bool = Field(description="Whether blocks are computed again in backward.")
    validation_every: int = Field(description="Steps between two measurements of held-out loss.")
    patience: int | None = Field(
        default=None, description="Measurements without a lower held-out loss that end the run; none means no end."
    )
    stages: tuple[Stage, ...] = Field(description="The pipeline.")
    per_rank: tuple[RankMemory, ...] = Field(description="Bytes, a stage each.")
    checkpoint: CheckpointPlan = Field(description="When checkpoints are made.")
    data: tuple[DataSource, ...] = Field(description="Where tokens come from.")
    curriculum: tuple[DataStage, ...] | None = Field(
        default=None, description="Other weights of them from a row on, in rising order."
    )
    fingerprint: str | None = Field(default=None, description="What the data must be; none means whatever is there.")
    digest: str = Field(default="", description="Fingerprint of all the above but estimates of memory.")


def digest_of(plan: Plan) -> str:
    """Of all but the estimates: a planner that estimates better must not make a running job look changed."""
    said = plan.dump()
    for rank in said["perRank"]:
        for estimate in ESTIMATES:
            rank["memoryBytes"].pop(estimate, None)
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
