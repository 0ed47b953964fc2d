"""From what a spec says of the model to its shape: a preset, or a folder's model, with what the spec sets beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.sections.dre import DRESpec
from ultrathink_api.sections.model import ModelSpec, MoESpec
from ultrathink_planner.presets import PRESETS, WITHOUT_PRESET, Preset
from ultrathink_planner.shape import DEFAULT_EXPERTS, TRAINING_ONLY, DREShape, ModelShape

PARTS = frozenset({"preset", "from_", "moe", "dre"})
"""Fields of a model that are no sizes of it."""


@dataclass(frozen=True, slots=True)
class Given:
    """The model that a job starts from: its shape as its folder says it, and where that lies."""

    shape: ModelShape
    uri: str


def preset_of(spec: ModelSpec) -> Preset:
    """The preset that the spec names."""
    if spec.preset is None:
        return WITHOUT_PRESET
    if spec.preset not in PRESETS:
        raise Refused(
            Problem(
                code="UTK0121",
                field="spec.model.preset",
                message=f"there is no preset {spec.preset!r}",
                fix=f"use one of: {', '.join(sorted(PRESETS))}",
            )
        )
    return PRESETS[spec.preset]


def resolve(spec: ModelSpec, given: Given | None = None) -> ModelShape:
    """The shape of the preset with the spec's fields over it, or that of the model which the job starts from."""
    shape = _sized(spec) if spec.from_ is None else _started(spec, given)
    return shape if spec.dre is None else shape.model_copy(update={"dre": _adaptive(spec.dre)})


def _sized(spec: ModelSpec) -> ModelShape:
    base = preset_of(spec).shape
    shape = base.model_copy(update=_said(spec, PARTS))
    if spec.moe is None:
        return shape
    return shape.model_copy(update={"moe": (base.moe or DEFAULT_EXPERTS).model_copy(update=_said(spec.moe))})


def _started(spec: ModelSpec, given: Given | None) -> ModelShape:
    if given is None:
        raise Refused.of(
            "UTK0227",
            field="spec.model.from",
            message=f"{spec.from_} is a folder, and not there in a pod",
            fix="start from it with `utk run --local`; on a cluster say model.preset or the sizes of a model",
        )
    shape, moe = given.shape, given.shape.moe
    problems = list(_contradictions(spec, shape))
    if problems:
        raise Refused(*problems)
    if spec.moe is None or moe is None:
        return shape
    chosen = {name: value for name, value in _said(spec.moe).items() if name in TRAINING_ONLY}
    return shape.model_copy(update={"moe": moe.model_copy(update=chosen)})


def _contradictions(spec: ModelSpec, shape: ModelShape) -> Iterator[Problem]:
    """What the spec says otherwise than the folder; how experts are balanced is the job's own business, unless the
    weights hold a bias for it."""
    for name, value in _said(spec, PARTS).items():
        if value != getattr(shape, name):
            yield _contradiction(spec, to_camel(name), value, getattr(shape, name))
    if spec.moe is None:
        return
    if shape.moe is None:
        yield _contradiction(spec, "moe", "said", None)
        return
    with_experts = tuple(filter(shape.has_experts, range(shape.layers)))
    theirs = {**dict(shape.moe), "layers": with_experts}
    for name, value in _said(spec.moe).items():
        free = name in TRAINING_ONLY and not (name == "balance" and shape.moe.balance == "bias")
        if not free and value != theirs[name]:
            yield _contradiction(spec, f"moe.{to_camel(name)}", value, theirs[name])


def _contradiction(spec: ModelSpec, name: str, ours: Any, theirs: Any) -> Problem:
    has = "has none" if theirs is None else f"has {theirs}"
    return Problem(
        code="UTK0154",
        field=f"spec.model.{name}",
        message=f"{name} is {ours}, but the model of {spec.from_} {has}",
        why="a job that starts from a model has its shape",
        fix=f"leave model.{name} out",
    )


def _said(spec: ModelSpec | MoESpec, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    said = {name: getattr(spec, name) for name in type(spec).model_fields if name not in without}
    return {name: value for name, value in said.items() if value is not None}


def _adaptive(spec: DRESpec) -> DREShape:
    return DREShape(null_experts=spec.null_experts, effort=spec.effort, efforts=spec.efforts or (spec.effort,))
