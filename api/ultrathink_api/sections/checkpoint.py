"""spec.checkpoint and spec.resume: where state is kept, how often, and where a job starts from."""

from typing import Literal

from ultrathink_api.base import Section, setting


class EverySpec(Section):
    """How often a checkpoint is made: whichever comes first."""

    steps: int | None = setting(
        "Steps between two checkpoints. Default: a tenth of the steps.", effect="restart", ge=1, le=1_000_000_000
    )
    minutes: float | None = setting("Minutes between two checkpoints. Default: 10.", effect="restart", gt=0, le=10_080)
    auto: bool = setting(
        "Whether the job finds the minutes by itself, by what a save costs it and how often it fails (Young's and "
        "Daly's rule), at most one hundredth of its time; minutes and steps are then the most. Default: false.",
        effect="restart",
        default=False,
    )


class KeepSpec(Section):
    """Which checkpoints stay, beside pinned ones and those that an attempt started from."""

    last: int = setting(
        "Number of newest checkpoints that stay; nothing younger than 10 minutes is ever deleted. Default: 5.",
        effect="inPlace",
        default=5,
        ge=2,
        le=1_000_000,
    )
    every_steps: int | None = setting(
        "Steps: of each such stretch the first checkpoint stays for good. Default: none do.",
        effect="inPlace",
        ge=1,
        le=1_000_000_000,
    )


class CopiesSpec(Section):
    """Copies of the state in the memory of the node that holds it."""

    every: int = setting(
        "Steps between two copies; 1 loses at most the step in flight. No default.",
        effect="newCluster",
        default=...,
        ge=1,
        le=1_000_000,
    )


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
    keep: KeepSpec = setting(
        "Which checkpoints stay; the others are deleted behind training. Default: the 5 newest.",
        effect="inPlace",
        default=KeepSpec,
    )
    on_delete: Literal["Keep", "Delete"] = setting(
        "What becomes of the checkpoints when the job is deleted while its cluster runs; pinned ones always stay, and "
        "so does everything of a job that has ended. Default: Keep.",
        effect="inPlace",
        default="Keep",
    )
    copies: CopiesSpec | None = setting(
        "Copies of the state in each node's own memory, so that the loss of a rank costs no trip to the store; they "
        "take twice the size of the state, and are left out where they do not fit. Default: none are made.",
        effect="newCluster",
    )
    compression: Literal["none", "zstd"] = setting(
        "Whether the bytes of checkpoints are compressed: zstd takes processor time behind training, and each rank "
        "memory of up to the size of its part; the manifest says what it brought. Default: none.",
        effect="restart",
        default="none",
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
