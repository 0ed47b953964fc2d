"""What a folder in Hugging Face's layout says of its model: JSON alone, no torch, so that a plan can be made of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.sections.model import HUGGING_FACE, ModelSpec
from ultrathink_planner import Given, ModelShape

from ..model.families import family_of
from ..model.families.family import Family, unfit

CONFIG = "config.json"
LONGEST_CONFIG = 16 << 20
FROM = "spec.model.from"


def folder_of(address: str) -> Path:
    """DIR of hf:DIR."""
    return Path(address.removeprefix(HUGGING_FACE))


def read_given(address: str) -> Given:
    """The model that a job starts from; a relative folder is one of where the command runs."""
    folder = folder_of(address).absolute()
    try:
        return Given(read_shape(folder)[1], f"{HUGGING_FACE}{folder}")
    except Refused as refused:
        raise Refused(*map(_of_the_job, refused.problems)) from refused


def _of_the_job(problem: Problem) -> Problem:
    where = "" if problem.field in problem.message else f"{problem.field}: "
    return replace(problem, field=FROM, message=where + problem.message)


def read_shape(folder: Path) -> tuple[Family, ModelShape]:
    """Family and shape that the folder's config says."""
    config = read_json(folder / CONFIG)
    family = family_of(config)
    try:
        shape = family.shape_of(config)
        ModelSpec.model_validate(shape.model_dump(exclude={"dre"}))  # no size is beyond what a job may say
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise unfit(".".join(map(str, first["loc"])), first["msg"]) from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise unfit("a value", f"{type(error).__name__}: {error}") from error
    return family, shape


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small file."""
    try:
        if path.stat().st_size > LONGEST_CONFIG:
            raise unreadable(path, "it is longer than any config")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, str(error)) from error
    if not isinstance(value, dict):
        raise unreadable(path, "it is not an object")
    return value


def unreadable(path: Path, why: str) -> Refused:
    """A file that is not what `save_pretrained` writes."""
    return Refused.of(
        "UTK0226",
        field=str(path),
        message=f"{path} cannot be read: {why}",
        fix="name a folder with config.json and safetensors, as `save_pretrained` writes it",
    )
