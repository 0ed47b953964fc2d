"""How a change of a field takes effect, as the models say it of each field."""

from collections.abc import Sequence
from typing import Any

from ultrathink_api.base import Effect, Section
from ultrathink_api.job import UltraThinkJob


def effect_of(path: Sequence[str]) -> Effect | None:
    """What the innermost field on the way says; None for what is no field of a job's spec."""
    model: type[Section] | None = UltraThinkJob
    found: Effect | None = None
    for step in path:
        if model is None:
            break
        field = next((f for name, f in model.model_fields.items() if step == (f.alias or name)), None)
        if field is None:
            break
        extra = field.json_schema_extra
        found = extra.get("x-effect", found) if isinstance(extra, dict) else found  # type: ignore[assignment]
        model = _section(field.annotation)
    return found


def _section(annotation: Any) -> type[Section] | None:
    """The section that a field holds, optional or not."""
    inside = getattr(annotation, "__args__", (annotation,))
    return next((c for c in inside if isinstance(c, type) and issubclass(c, Section)), None)
