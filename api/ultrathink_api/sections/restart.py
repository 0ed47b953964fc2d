"""spec.restart: how often a job may fail before it is given up."""

from ultrathink_api.base import Section, setting


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


class RestartSpec(Section):
    """How often a job may fail before it is given up."""

    budget: BudgetSpec = setting(
        "Restarts that a job may spend. Default: 8, and 3 without progress.", effect="inPlace", default=BudgetSpec
    )
