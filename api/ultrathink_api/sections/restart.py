"""spec.restart: what answers a failure, and how often a job may fail before it is given up."""

from typing import Annotated, Literal

from pydantic import Field

from ultrathink_api.base import Section, setting
from ultrathink_api.causes import USER_ERROR_EXIT_CODE, Cause
from ultrathink_api.log_patterns import MOST_CHARACTERS

ExitCode = Annotated[int, Field(ge=1, le=255)]
FailureCause = Literal[
    "RankLost",
    "WorkerLost",
    "DriverLost",
    "HeadLost",
    "OutOfMemory",
    "Hang",
    "NaN",
    "Preempted",
    "Drained",
    "StoreError",
    "DataError",
    "UserError",
    "Internal",
]
"""Causes of an attempt's end that a rule can answer; the others are somebody's wish, or an end themselves."""
Rung = Literal["ranks", "workers", "cluster"]
Answer = Literal["Restart", "Fail", "Rollback"]


class BudgetSpec(Section):
    """Restarts that a job may spend."""

    max: int = setting(
        "Failures within windowHours that are answered by a restart. Default: 8.",
        effect="inPlace",
        default=8,
        ge=0,
        le=10_000,
    )
    window_hours: int = setting(
        "Hours after which a failure is forgiven. Default: 24.", effect="inPlace", default=24, ge=1, le=8_760
    )
    without_progress: int = setting(
        "Failures in a row without a new checkpoint between them. Default: 3.",
        effect="inPlace",
        default=3,
        ge=1,
        le=1_000,
    )


class WhenSpec(Section):
    """Which failures a rule answers: all that is said here must hold."""

    exit_codes: tuple[ExitCode, ...] | None = setting(
        "The failed rank ended with one of these; 128 and the signal's number if one killed it. Default: any.",
        effect="inPlace",
        min_length=1,
        max_length=32,
    )
    cause: tuple[FailureCause, ...] | None = setting(
        "The failure has one of these causes. Default: any.", effect="inPlace", min_length=1, max_length=16
    )
    log: str | None = setting(
        "This pattern is found in what a failed rank said last, its exception or the signal that killed it: text, "
        ". \\d \\w \\s [a-z], each with * + or ? behind it, and (one|other), which neither repeats nor nests. "
        "Default: anything.",
        effect="inPlace",
        min_length=1,
        max_length=MOST_CHARACTERS,
    )


class RuleSpec(Section):
    """One rule: a failure, and its answer."""

    when: WhenSpec = setting("Which failures it answers.", effect="inPlace", default=...)
    do: Answer = setting(
        "Restart starts the next attempt; Fail ends the job; Rollback starts the next attempt from the newest "
        "checkpoint, never from copies in memory, and around the data of steps that were not finite.",
        effect="inPlace",
        default=...,
    )
    counts: bool | None = setting(
        "Whether it spends restart.budget.max; failures without a new checkpoint count towards withoutProgress all "
        "the same, unless their cause is free. Default: false for Preempted and Drained, else true.",
        effect="inPlace",
    )
    avoid_node_hours: float | None = setting(
        "Hours for which pods of the job are kept off the node of the failed rank, or until no other fits. No effect "
        "on a laptop. Default: not at all.",
        effect="inPlace",
        gt=0,
        le=8_760,
    )


class RestartSpec(Section):
    """What answers a failure, and how often a job may fail before it is given up."""

    budget: BudgetSpec = setting(
        "Restarts that a job may spend. Default: 8, and 3 without progress.", effect="inPlace", default=BudgetSpec
    )
    ladder: tuple[Rung, ...] = setting(
        "Rungs that may answer a failure, cheapest first: ranks forks them again where they were, workers makes Ray "
        "Train regroup, cluster replaces the pods. Default: ranks, workers, cluster.",
        effect="inPlace",
        default=("ranks", "workers", "cluster"),
        min_length=1,
        max_length=3,
    )
    rules: tuple[RuleSpec, ...] = setting(
        "Answers to failures, of which the first that fits counts; behind them stand: exit code 64 fails, Preempted "
        "and Drained restart and do not count, a log with Xid 48, 74, 79, 94 or 95 restarts and avoids the node for "
        "24 hours, NaN rolls back. Default: none but these.",
        effect="inPlace",
        default=(),
        max_length=32,
    )


DEFAULT_RULES: tuple[RuleSpec, ...] = (
    RuleSpec(when=WhenSpec(exit_codes=(USER_ERROR_EXIT_CODE,)), do="Fail"),
    RuleSpec(when=WhenSpec(cause=(Cause.PREEMPTED.value, Cause.DRAINED.value)), do="Restart", counts=False),
    RuleSpec(when=WhenSpec(log="Xid.* (48|74|79|94|95)"), do="Restart", avoid_node_hours=24.0),
    RuleSpec(when=WhenSpec(cause=(Cause.NAN.value,)), do="Rollback"),
)
"""What stands behind the rules of every job. The driver's numbers are: double bit error, NVLink, fallen off the bus,
and contained and uncontained errors of memory."""
