"""spec.health: how a run that no longer trains is noticed."""

from typing import Annotated, Literal

from pydantic import Field

from ultrathink_api.base import Section, setting


class HealthSpec(Section):
    """How a run that no longer trains is noticed."""

    startup_minutes: int = setting(
        "Minutes that an attempt may take to its first step. Default: 30.",
        effect="inPlace",
        default=30,
        ge=1,
        le=1_440,
    )
    hang: Annotated[int, Field(ge=1, le=86_400)] | Annotated[str, Field(pattern="^(auto|off)$")] = setting(
        "Seconds without a step after which an attempt hangs; auto learns them as three times the mean step, "
        "within the two limits below; off never ends an attempt for it. Default: auto.",
        effect="inPlace",
        default="auto",
    )
    hang_floor_seconds: int = setting(
        "Seconds of silence that hang: auto always allows. Default: 30.", effect="inPlace", default=30, ge=1, le=86_400
    )
    hang_ceiling_seconds: int = setting(
        "Seconds of silence that hang: auto never allows between two steps. Default: 1200.",
        effect="inPlace",
        default=1_200,
        ge=1,
        le=86_400,
    )
    non_finite_skips: int = setting(
        "Steps in a row whose loss or gradient is NaN or infinite that are left out; at one more the job goes back to "
        "its newest checkpoint and around the data of these steps. Default: 2.",
        effect="restart",
        default=2,
        ge=0,
        le=1_000,
    )
    rollbacks: int = setting(
        "How often the job goes back for non-finite steps before it fails as Diverged. Default: 2.",
        effect="inPlace",
        default=2,
        ge=0,
        le=1_000,
    )
    on_hang: Literal["DumpThenRestart", "Restart"] = setting(
        "What answers a hang: DumpThenRestart keeps the stacks of all ranks first, which takes seconds; Restart does "
        "not wait for them. Default: DumpThenRestart.",
        effect="inPlace",
        default="DumpThenRestart",
    )
