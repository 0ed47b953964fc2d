"""From what a spec says of the model to its shape: a preset with what the spec sets beside it."""

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.sections.model import ModelSpec, MoESpec
from ultrathink_planner.presets import PRESETS, WITHOUT_PRESET, Preset
from ultrathink_planner.shape import DEFAULT_EXPERTS, ModelShape, MoEShape


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
    said = {name: getattr(spec, name) for name in ModelSpec.model_fields if name not in {"preset", "moe"}}
    shape = base.model_copy(update={name: value for name, value in said.items() if value is not None})
    return shape if spec.moe is None else shape.model_copy(update={"moe": _experts(spec.moe, base.moe)})


def _experts(spec: MoESpec, base: MoEShape | None) -> MoEShape:
    said = {name: getattr(spec, name) for name in MoESpec.model_fields}
    return (base or DEFAULT_EXPERTS).model_copy(update={n: v for n, v in said.items() if v is not None})
