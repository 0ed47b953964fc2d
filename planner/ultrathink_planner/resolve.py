"""From what a spec says of the model to its shape: a preset with what the spec sets beside it."""

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.sections.dre import DRESpec
from ultrathink_api.sections.model import ModelSpec, MoESpec
from ultrathink_planner.presets import PRESETS, WITHOUT_PRESET, Preset
from ultrathink_planner.shape import DEFAULT_EXPERTS, DREShape, ModelShape, MoEShape


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


def resolve(spec: ModelSpec) -> ModelShape:
    """The preset's shape with the spec's fields over it."""
    base = preset_of(spec).shape
    said = {name: getattr(spec, name) for name in ModelSpec.model_fields if name not in {"preset", "moe", "dre"}}
    shape = base.model_copy(update={name: value for name, value in said.items() if value is not None})
    if spec.moe is not None:
        shape = shape.model_copy(update={"moe": _experts(spec.moe, base.moe)})
    return shape if spec.dre is None else shape.model_copy(update={"dre": _adaptive(spec.dre)})


def _experts(spec: MoESpec, base: MoEShape | None) -> MoEShape:
    said = {name: getattr(spec, name) for name in MoESpec.model_fields}
    return (base or DEFAULT_EXPERTS).model_copy(update={n: v for n, v in said.items() if v is not None})


def _adaptive(spec: DRESpec) -> DREShape:
    return DREShape(null_experts=spec.null_experts, effort=spec.effort, efforts=spec.efforts or (spec.effort,))
