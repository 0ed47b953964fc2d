"""Model families in Hugging Face's layout: how each says its shape and names its tensors. Known by `model_type`."""

from typing import Any

from pydantic.alias_generators import to_camel

from ultrathink_api.errors import Refused
from ultrathink_planner import ModelShape

from . import glm4, glm4_moe, llama, mixtral, qwen3, qwen3_moe
from .family import Family, differences

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (llama.FAMILY, mixtral.FAMILY, qwen3.FAMILY, qwen3_moe.FAMILY, glm4.FAMILY, glm4_moe.FAMILY)
}


def family_of(config: dict[str, Any]) -> Family:
    """The family that a config.json names."""
    name = config.get("model_type")
    if name not in FAMILIES:
        raise Refused.of(
            "UTK0220",
            field="config.json: model_type",
            message=f"there is no family {name!r}",
            fix=f"use a model of one of: {', '.join(FAMILIES)}",
        )
    return FAMILIES[str(name)]


def family_for(shape: ModelShape) -> Family:
    """The family that can say all that the shape says."""
    family = FAMILIES[_nearest(shape)]
    wrong = differences(family, shape)
    if wrong:
        raise Refused.of(
            "UTK0225",
            field=f"spec.model.{_said(wrong[0].field)}",
            message=f"{family.name} is the nearest family, and cannot say: "
            + ", ".join(f"{_said(d.field)} {d.ours} (it would be {d.theirs})" for d in wrong),
            why="a file that another program reads as another model would be worse than none",
            fix="train a shape that a family has; sigmoid routers with bias, shared experts and dense first blocks "
            "are glm4_moe's, softmax routers without bias mixtral's and qwen3_moe's",
        )
    return family


def _said(field: str) -> str:
    """A field as a job says it."""
    return ".".join(map(to_camel, field.split(".")))


def _nearest(shape: ModelShape) -> str:
    if shape.moe is None:
        return "glm4" if shape.post_norms else "qwen3" if shape.qk_norm else "llama"
    if shape.moe.router == "sigmoid" or shape.moe.shared:
        return "glm4_moe"
    return "qwen3_moe" if shape.qk_norm else "mixtral"
