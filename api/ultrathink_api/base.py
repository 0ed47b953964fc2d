"""The base of every model of the API: camelCase outside, snake_case inside, nothing unknown, nothing mutable."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Effect = Literal["inPlace", "restart", "newCluster", "immutable"]

EFFECTS: dict[Effect, str] = {
    "inPlace": "A change takes effect in place.",
    "restart": "A change takes effect by a checkpoint and one restart of the ranks.",
    "newCluster": "A change takes effect by a checkpoint and a new cluster.",
    "immutable": "Cannot change once the job exists.",
}


class Section(BaseModel):
    """A part of an object: strict, frozen, and the same in YAML, JSON and Python."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        ser_json_inf_nan="null",
        allow_inf_nan=False,
    )

    def dump(self) -> dict[str, Any]:
        """JSON as the API server holds it: camelCase, without what was never said."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def setting(text: str, *, effect: Effect, default: Any = None, **limits: Any) -> Any:
    """A field of a spec: `text` says what it is, its unit, its default and cost; `effect` how a change lands."""
    extra: dict[str, Any] = {"x-effect": effect}
    said: dict[str, Any] = {"default": default}
    if default is ...:
        said = {}
    elif callable(default):
        said = {"default_factory": default}
        extra["default"] = {}
    return Field(description=f"{text} {EFFECTS[effect]}", json_schema_extra=extra, **said, **limits)
