"""The status of a job: what the operator saw and did, bounded, with conditions that the phase is derived from."""

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from ultrathink_api.base import Section
from ultrathink_api.causes import Cause


class Phase(StrEnum):
    """Where a job is, in the order in which a healthy one passes through."""

    PENDING = "Pending"
    PLANNED = "Planned"
    QUEUED = "Queued"
    SCHEDULING = "Scheduling"
    STARTING = "Starting"
    RUNNING = "Running"
    RECOVERING = "Recovering"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


TERMINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED})

ConditionType = Literal[
    "Valid",
    "Admitted",
    "Scheduled",
    "Running",
    "Progressing",
    "CheckpointFresh",
    "Degraded",
    "Suspended",
    "Complete",
    "Failed",
]

HISTORY = 10
"""Attempts kept in the status; the ledger in the store keeps all."""


class StatusPart(Section):
    """A part of a status: a newer operator may have written more than we know."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


class Condition(StatusPart):
    """One observation, in Kubernetes' own shape."""

    type: ConditionType = Field(description="What is observed.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="Why, as one CamelCase word.", max_length=128)
    message: str = Field(default="", description="Why, in words.", max_length=2048)
    observed_generation: int | None = Field(default=None, description="The generation this was observed of.")
    last_transition_time: str | None = Field(default=None, description="When the status last changed.")


class ClusterStatus(StatusPart):
    """The Ray cluster that serves the job."""

    number: int = Field(description="Its number; written before its objects are made.", ge=0)
    queued_at: str | None = Field(
        default=None,
        description="When the job began to wait for pods; the time of the cluster before if that one never trained.",
    )
    placed_at: str | None = Field(default=None, description="When all its pods ran for the first time.")
    releases: int = Field(
        default=0, ge=0, description="How often in a row its workers were given back because they fitted only in part."
    )
    retry_at: str | None = Field(default=None, description="When workers that were given back are tried again.")
    tried_at: str | None = Field(default=None, description="When they were last tried again.")


class MeshStatus(StatusPart):
    """The mesh of ranks."""

    pipeline: int = Field(description="Ranks that hold different layers.")
    data: int = Field(description="Ranks that see different rows.")
    context: int = Field(default=1, description="Ranks that share a row.")
    tensor: int = Field(description="Ranks that share one matrix.")
    expert: int = Field(default=1, description="Ranks of a stage that hold different experts.")


class ParametersStatus(StatusPart):
    """Exact parameter counts."""

    total: int = Field(description="All parameters.")
    active: int = Field(description="Parameters that one token passes through.")


class PlanStatus(StatusPart):
    """What the planner made of the spec."""

    world_size: int = Field(description="Number of ranks.")
    steps: int = Field(description="Optimizer steps of the job.")
    mesh: MeshStatus = Field(description="The mesh of ranks.")
    parameters: ParametersStatus = Field(description="Exact parameter counts.")
    digest: str = Field(description="Fingerprint of the plan.")


class WorkersStatus(StatusPart):
    """The workers of the cluster."""

    ready: int = Field(default=0, description="Workers whose agent answers.")
    desired: int = Field(default=0, description="Workers asked for.")
    selector: str = Field(default="", description="Label selector of the worker pods.")


class AttemptStatus(StatusPart):
    """The attempt under way."""

    number: int = Field(description="Its number, without gaps over the job's life; also its epoch.")
    cluster: int | None = Field(default=None, description="Number of the cluster it runs on.")
    started_at: str | None = Field(default=None, description="When it started.")
    cause: Cause | None = Field(default=None, description="What ended the attempt before it.")


class ProgressStatus(StatusPart):
    """How far training is."""

    step: int = Field(description="Last step done.")
    of: int = Field(description="Steps in all.")
    percent: str = Field(description="Share of the steps done.")
    tokens: int = Field(default=0, description="Positions trained on.")
    loss: str | None = Field(default=None, description="Cross-entropy of the last step, in nats a token.")
    validation_loss: str | None = Field(default=None, description="Held-out cross-entropy, in nats a token.")
    tokens_per_second: float | None = Field(default=None, description="Speed of the last steps.")
    eta_seconds: int | None = Field(default=None, description="Seconds to the end at this speed.")
    stragglers: tuple[str, ...] = Field(
        default=(), description="Ranks that compute much longer than their peers now, with their nodes.", max_length=8
    )
    seen_at: str | None = Field(default=None, description="When the supervisor said so.")


class CheckpointStatus(StatusPart):
    """The newest checkpoint."""

    step: int = Field(description="The step it holds.")
    uri: str = Field(description="Where it is.")
    verified: bool = Field(default=False, description="Whether its bytes were read back and matched.")
    committed_at: str | None = Field(default=None, description="When it was committed.")
    stall_seconds: str | None = Field(default=None, description="How long training waited for it.")


class GoodputStatus(StatusPart):
    """Where the time went."""

    ratio: str = Field(description="Share of wall time spent on steps that were kept.")
    seconds: dict[str, float] = Field(default_factory=dict, description="Seconds by bucket; they sum to wall time.")


class AttemptRecord(StatusPart):
    """An attempt that has ended."""

    attempt: int = Field(description="Its number.")
    cause: Cause | None = Field(default=None, description="Why it ended.")
    rank: int | None = Field(default=None, description="The rank that failed first.")
    node: str | None = Field(default=None, description="Where that rank ran.")
    exit_code: int | None = Field(default=None, description="How that rank ended.")
    lost_steps: int | None = Field(default=None, description="Steps that had to be done again.")
    rung: str | None = Field(default=None, description="The rung of the ladder that answered.")
    recovery_seconds: float | None = Field(default=None, description="Fault to first new step.")


class RestartsStatus(StatusPart):
    """Restarts so far."""

    counted: int = Field(default=0, description="Restarts that spent the budget.")
    free: int = Field(default=0, description="Restarts that did not.")
    history: tuple[AttemptRecord, ...] = Field(default=(), description="The last ten.", max_length=HISTORY)


AVOIDED = 10
"""Nodes kept in the status; a job that has worn out more has another trouble."""


class AvoidedStatus(StatusPart):
    """A node that the job's pods are kept off."""

    node: str = Field(description="Its name.", max_length=253)
    since: str = Field(description="When an attempt failed on it.", max_length=64)
    until: str = Field(description="When it may be used again.", max_length=64)
    reason: str = Field(default="", description="Why.", max_length=256)


class RuntimeStatus(StatusPart):
    """The runtime that the job was started with."""

    name: str = Field(description="Its name.")
    generation: int | None = Field(default=None, description="Its generation then.")
    digest: str = Field(description="Fingerprint of its spec.")


class JobStatus(StatusPart):
    """What the operator saw and did."""

    observed_generation: int | None = Field(default=None, description="The generation the status speaks of.")
    phase: Phase | None = Field(default=None, description="Where the job is; derived from the conditions.")
    reason: str | None = Field(default=None, description="Why it is there, as one CamelCase word.")
    message: str | None = Field(default=None, description="Why it is there, in words.", max_length=2048)
    conditions: tuple[Condition, ...] = Field(default=(), description="Observations, one a type.", max_length=16)
    cluster: ClusterStatus | None = Field(default=None, description="The Ray cluster that serves the job.")
    runtime: RuntimeStatus | None = Field(default=None, description="The runtime that the job was started with.")
    plan: PlanStatus | None = Field(default=None, description="What the planner made of the spec.")
    workers: WorkersStatus | None = Field(default=None, description="The workers of the cluster.")
    attempt: AttemptStatus | None = Field(default=None, description="The attempt under way.")
    progress: ProgressStatus | None = Field(default=None, description="How far training is.")
    checkpoint: CheckpointStatus | None = Field(default=None, description="The newest checkpoint.")
    goodput: GoodputStatus | None = Field(default=None, description="Where the time went.")
    restarts: RestartsStatus | None = Field(default=None, description="Restarts so far.")
    avoided: tuple[AvoidedStatus, ...] = Field(
        default=(), description="Nodes that the job's pods are, or were last, kept off.", max_length=AVOIDED
    )
    started_at: str | None = Field(default=None, description="When the first cluster was made.")
    suspended_at: str | None = Field(
        default=None, description="When the operator first saw that the job is to be suspended or cancelled."
    )
    ended_at: str | None = Field(default=None, description="When the job succeeded or failed.")

    def condition(self, name: ConditionType) -> Condition | None:
        """The condition of that type, if it was ever observed."""
        return next((c for c in self.conditions if c.type == name), None)
