"""From a document to a job, or to every reason why not: the schema's refusals and the rules', in one shape."""

import re
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from ultrathink_api import GROUP_VERSION
from ultrathink_api.base import Section
from ultrathink_api.errors import Problem
from ultrathink_api.job import KIND, UltraThinkJob
from ultrathink_api.loading import closest
from ultrathink_api.rules import broken

WRONG_TYPE, OUT_OF_RANGE = "UTK0103", "UTK0105"


def check(value: dict[str, Any]) -> tuple[UltraThinkJob | None, list[Problem]]:
    """The job that `value` describes, or None and all that is wrong with it."""
    if value.get("kind") != KIND or value.get("apiVersion") != GROUP_VERSION:
        found = f"{value.get('apiVersion', 'no apiVersion')} {value.get('kind', 'without kind')}"
        return None, [
            Problem(
                code="UTK0101",
                field="kind",
                message=f"this is {found}, not {GROUP_VERSION} {KIND}",
                fix=f"start the file with apiVersion: {GROUP_VERSION} and kind: {KIND}",
            )
        ]
    try:
        job = UltraThinkJob.parse(value)
    except pydantic.ValidationError as error:
        by_field: dict[str, Problem] = {}
        for detail in error.errors(include_url=False):
            problem = _problem(detail)
            known = by_field.setdefault(problem.field, problem)
            if (known.code, problem.code) == (
                WRONG_TYPE,
                OUT_OF_RANGE,
            ):  # of a union: of one type, and beyond its limits
                by_field[problem.field] = problem
        return None, list(by_field.values())
    problems = broken(job)
    return (None, problems) if problems else (job, [])


def _problem(detail: ErrorDetails) -> Problem:
    location = tuple(step for step in detail["loc"] if not _is_union_branch(step))
    field = ".".join(map(str, location))
    name = str(location[-1]) if location else ""
    match detail["type"]:
        case "extra_forbidden":
            names = _names_at(location[:-1])
            meant = closest(name, names)
            fix = f"did you mean {meant}?" if meant else f"remove it; here there are: {', '.join(names)}"
            return Problem(code="UTK0102", field=field, message=f"unknown field {name}", fix=fix)
        case "missing":
            return Problem(code="UTK0104", field=field, message=f"{name} is missing", fix=f"add {name}:")
        case kind if _is_limit(kind):
            limit = re.sub(r"^(Input|String|Value|List|Dictionary) should ", "must ", detail["msg"])
            return Problem(
                code="UTK0105",
                field=field,
                message=f"{name} is {_shown(detail['input'])}, but {limit}",
                fix="choose a value within the limits",
            )
        case _:
            wanted = re.sub(r"^(Input|Value) should ", "must ", detail["msg"])
            return Problem(
                code="UTK0103",
                field=field,
                message=f"{name} is {_shown(detail['input'])}, but {wanted}",
                fix="correct the value",
            )


def _is_limit(kind: str) -> bool:
    return kind.startswith(("greater_than", "less_than", "string_too", "too_", "string_pattern", "finite"))


def _is_union_branch(step: str | int) -> bool:
    """pydantic names the branch of a union (`str`, `int`, `constrained-str`) as if it were a field."""
    return isinstance(step, str) and (step in {"str", "int", "float", "bool"} or "-" in step or "[" in step)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _names_at(location: tuple[str | int, ...]) -> list[str]:
    model: Any = UltraThinkJob
    for step in location:
        fields = {f.alias or n: f for n, f in model.model_fields.items()}
        found = fields.get(str(step))
        model = found and _section_in(found.annotation)
        if model is None:
            return []
    return [f.alias or n for n, f in model.model_fields.items()]


def _section_in(annotation: Any) -> type[Section] | None:
    candidates = getattr(annotation, "__args__", (annotation,))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)
