"""The base of every model of the API: camelCase outside, snake_case inside, nothing unknown, nothing mutable."""

from collections.abc import Iterator
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

Effect = Literal["inPlace", "restart", "newCluster", "immutable"]

EFFECTS: dict[Effect, str] = {
    "inPlace": "A change takes effect in place.",
    "restart": "A change takes effect by a checkpoint and one restart of the ranks.",
    "newCluster": "A change takes effect by a checkpoint and a new cluster.",
    "immutable": "Cannot change once the job exists.",
}


MOST_WHOLE = 2**53
"""Above it a float no longer says which integer is meant."""


Model = TypeVar("Model", bound="Section")


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

    @classmethod
    def as_stored(cls, value: Any) -> Any:
        """As the API server stores it: a float without a fraction is an integer, and null takes a field away that has
        a default."""
        if not isinstance(value, dict):
            return whole(value)
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return {
            name: _stored(fields[name], below) if name in fields else whole(below)
            for name, below in value.items()
            if below is not None or name not in fields or not _has_default(fields[name])
        }

    def dump(self) -> dict[str, Any]:
        """JSON as the API server holds it: camelCase, without what was never said."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def slim(model: Model) -> Model:
    """The same value in half of the memory, for who keeps thousands: pydantic gives each part a set of its own of the
    fields that were said. Nothing here is mutable, so equal sets can be one."""
    said = model.model_fields_set
    object.__setattr__(model, "__pydantic_fields_set__", _SAID.setdefault(frozenset(said), said))
    for value in model.__dict__.values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Section):
                slim(part)
    return model


_SAID: dict[frozenset[str], set[str]] = {}
"""The sets that slim() has met, a few dozen of them."""


def whole(value: Any) -> Any:
    """Floats without a fraction as the integers that they are."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MOST_WHOLE else value
    if isinstance(value, dict):
        return {key: whole(below) for key, below in value.items()}
    return [whole(below) for below in value] if isinstance(value, list | tuple) else value


def _stored(field: FieldInfo, value: Any) -> Any:
    section = next((part for part in _parts(field.annotation) if issubclass(part, Section)), None)
    if section is None:
        return whole(value)
    return [section.as_stored(one) for one in value] if isinstance(value, list) else section.as_stored(value)


def _parts(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for below in get_args(annotation):
        yield from _parts(below)


def _has_default(field: FieldInfo) -> bool:
    return not field.is_required() and (field.default_factory is not None or field.default is not None)


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
