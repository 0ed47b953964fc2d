"""spec.deadlines and spec.cleanup: how long a job may wait and run, and how long what it leaves behind stays."""

from ultrathink_api.base import Section, setting

YEAR_DAYS = 365
DAY_MINUTES = 1_440


class DeadlinesSpec(Section):
    """How long a job may wait and run. On a cluster alone: a local run waits for nobody, and is ended by Ctrl-C."""

    queue_hours: float | None = setting(
        "Hours that a job may wait until all its pods run for the first time, or again on another cluster; then it "
        "fails with reason DeadlineExceeded. Default: no limit.",
        effect="inPlace",
        gt=0,
        le=YEAR_DAYS * 24,
    )
    placement_minutes: float = setting(
        "Minutes that a job whose pods fit only in part may hold nodes; then its workers are given back and all are "
        "tried again, after 30 s and twice as long each time, up to half an hour, the older of two jobs first. "
        "Default: 5.",
        effect="inPlace",
        default=5.0,
        gt=0,
        le=30 * DAY_MINUTES,
    )
    start_minutes: float | None = setting(
        "Minutes from the moment when all pods of a cluster run for the first time to the job's first step; then it "
        "fails with reason DeadlineExceeded. Default: no limit.",
        effect="inPlace",
        gt=0,
        le=30 * DAY_MINUTES,
    )
    active_days: float | None = setting(
        "Days that the job may have its pods, over all attempts; then it saves and fails with reason "
        "DeadlineExceeded. Default: no limit.",
        effect="inPlace",
        gt=0,
        le=10 * YEAR_DAYS,
    )


class CleanupSpec(Section):
    """How long what a job leaves behind stays. On a cluster alone: a local run leaves no pods."""

    keep_cluster_on_failure_minutes: float = setting(
        "Minutes that the pods of a failed job stay, to be looked at; they hold their GPUs meanwhile. Default: 5.",
        effect="inPlace",
        default=5.0,
        ge=0,
        le=DAY_MINUTES,
    )
