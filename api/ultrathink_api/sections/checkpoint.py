"""spec.checkpoint and spec.resume: where state is kept, how often, and where a job starts from."""

from ultrathink_api.base import Section, setting


class EverySpec(Section):
    """How often a checkpoint is made: whichever comes first."""

    steps: int | None = setting(
        "Steps between two checkpoints. Default: a tenth of the steps.", effect="restart", ge=1, le=1_000_000_000
    )
    minutes: float | None = setting("Minutes between two checkpoints. Default: 10.", effect="restart", gt=0, le=10_080)


class CheckpointSpec(Section):
    """Where state is kept, and how often."""

    uri: str | None = setting(
        "Object storage for checkpoints: s3://bucket/prefix, or file:///path on a laptop. "
        "Default: the runtime's storage; locally the folder runs.",
        effect="immutable",
        max_length=1_024,
    )
    every: EverySpec = setting(
        "How often a checkpoint is made. Default: a tenth of the steps or 10 minutes, whichever comes first.",
        effect="restart",
        default=EverySpec,
    )
    grace_seconds: int = setting(
        "Seconds a pod may take for a last checkpoint when it is asked to stop. Default: 60.",
        effect="newCluster",
        default=60,
        ge=5,
        le=3_600,
    )


class ResumeSpec(Section):
    """Where a job starts from when checkpoints of its name exist already."""

    from_: str | None = setting(
        "latest, none, <job>@<step>, or the URI of a checkpoint. No default: over old checkpoints it must be said.",
        effect="inPlace",
        alias="from",
        min_length=1,
        max_length=1_024,
    )
