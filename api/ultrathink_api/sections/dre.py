"""spec.model.dre: how much compute a token may use."""

from typing import Annotated

from pydantic import Field

from ultrathink_api.base import Section, setting

Effort = Annotated[float, Field(gt=0, le=1)]


class DRESpec(Section):
    """Adaptive compute: experts that compute nothing, and the budget that decides how often they are chosen."""

    null_experts: int = setting(
        "Number of experts that compute nothing; at least topK wherever effort is below 1. They have no parameters. "
        "Default: 0.",
        effect="immutable",
        default=0,
        ge=0,
        le=1_024,
    )
    effort: float = setting(
        "Share of topK that a token uses on average when the model is measured, between 0 and 1; not below the lowest "
        "of efforts. Default: 1, everything.",
        effect="immutable",
        default=1.0,
        gt=0,
        le=1,
    )
    efforts: tuple[Effort, ...] | None = setting(
        "Efforts that training takes turns with, each equally often. Default: effort alone.",
        effect="immutable",
        min_length=1,
        max_length=16,
    )
