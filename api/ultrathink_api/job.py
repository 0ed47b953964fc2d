"""UltraThinkJob: what a job author writes. It asks for a training run, never for a pod."""

import json
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from ultrathink_api import GROUP_VERSION
from ultrathink_api.base import Section, setting
from ultrathink_api.sections.checkpoint import CheckpointSpec, ResumeSpec
from ultrathink_api.sections.data import DataSpec
from ultrathink_api.sections.health import HealthSpec
from ultrathink_api.sections.model import ModelSpec
from ultrathink_api.sections.parallelism import ParallelismSpec
from ultrathink_api.sections.restart import RestartSpec
from ultrathink_api.sections.time_limits import CleanupSpec, DeadlinesSpec
from ultrathink_api.sections.training import TrainingSpec
from ultrathink_api.sections.workers import WorkersSpec
from ultrathink_api.status import JobStatus

KIND: Final = "UltraThinkJob"
PLURAL = "ultrathinkjobs"
MAX_NAME = 40
"""So that every name made from a job's fits: a StatefulSet's 52 characters, a Service's first letter."""
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$"


class Metadata(Section):
    """What of an object's metadata UltraThink reads; the rest is Kubernetes' own and passes by."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, populate_by_name=True)

    name: str = Field(description="Name of the object.", min_length=1, max_length=253)
    namespace: str | None = Field(default=None, description="Namespace of the object.")
    uid: str | None = Field(default=None, description="Identity of the object over its whole life.")
    generation: int | None = Field(default=None, description="Counts changes of the spec.")
    resource_version: str | None = Field(default=None, description="Version of the stored object.")
    creation_timestamp: str | None = Field(default=None, description="When the object was made.")
    deletion_timestamp: str | None = Field(default=None, description="When its deletion was asked for.")
    finalizers: tuple[str, ...] = Field(default=(), description="Who must let go before it is deleted.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the object.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the object.")


class JobSpec(Section):
    """A training run."""

    task: Literal["pretrain"] = setting(
        "What is done: pretrain. Default: pretrain.", effect="immutable", default="pretrain"
    )
    runtime: str | None = setting(
        "Name of the UltraThinkRuntime of this namespace to run in. Default: the one named default, "
        "else the operator's own.",
        effect="newCluster",
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    )
    model: ModelSpec = setting("What is trained. No default.", effect="immutable", default=...)
    data: DataSpec = setting("What the model reads. No default.", effect="immutable", default=...)
    training: TrainingSpec = setting("How long, how fast and how exactly. No default.", effect="restart", default=...)
    workers: WorkersSpec = setting("How many ranks the job gets. No default.", effect="newCluster", default=...)
    parallelism: ParallelismSpec = setting(
        "How the model is cut over the ranks. Default: data parallel.", effect="restart", default=ParallelismSpec
    )
    checkpoint: CheckpointSpec = setting(
        "Where state is kept, and how often. Default: the runtime's storage.", effect="restart", default=CheckpointSpec
    )
    resume: ResumeSpec = setting(
        "Where the job starts from over old checkpoints. No default.", effect="inPlace", default=ResumeSpec
    )
    restart: RestartSpec = setting(
        "How often the job may fail. Default: 8 times, 3 without progress.", effect="inPlace", default=RestartSpec
    )
    health: HealthSpec = setting(
        "How a run that no longer trains is noticed. Default: by its own pace.", effect="inPlace", default=HealthSpec
    )
    suspend: bool = setting(
        "Save a checkpoint and give all pods back; false again goes on from there on a new cluster. Default: false. "
        "Costs the time of a save and of a start.",
        effect="inPlace",
        default=False,
    )
    cancel: bool = setting(
        "Save a checkpoint, give all pods back, and end the job as Failed with reason Cancelled, for good. "
        "Default: false.",
        effect="inPlace",
        default=False,
    )
    restarted_at: str | None = setting(
        "When a restart was asked for, as RFC 3339 in UTC. Each new value saves and begins one new attempt, which is "
        "not counted against the budget. `utk restart` sets it. No default.",
        effect="inPlace",
        pattern=TIME,
        max_length=40,
    )
    deadlines: DeadlinesSpec = setting(
        "How long the job may wait and run. Default: no limits.", effect="inPlace", default=DeadlinesSpec
    )
    cleanup: CleanupSpec = setting(
        "How long what the job leaves behind stays. Default: pods of a failed job for 5 minutes.",
        effect="inPlace",
        default=CleanupSpec,
    )


class UltraThinkJob(Section):
    """One distributed training run, kept alive until it is done."""

    api_version: Literal["ultrathink.io/v1alpha1"] = Field(default=GROUP_VERSION, description="Version of the API.")
    kind: Literal["UltraThinkJob"] = Field(default=KIND, description="Kind of the object.")
    metadata: Metadata = Field(description="Name and identity.")
    spec: JobSpec = Field(description="What is asked for.")
    status: JobStatus | None = Field(default=None, description="What the operator saw and did.")

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "UltraThinkJob":
        """The object as a client reads it: strictly, so that "200" is not 200, but 200.0 is, as in the API server.

        Raises pydantic's error, which `validate.check` translates.
        """
        return cls.model_validate_json(json.dumps(cls.as_stored(raw), default=str), strict=True)
