"""What goes to stdout in each shape: text, JSON, YAML, names, or one field."""

import json
from collections.abc import Callable
from typing import Any

from ultrathink_api.errors import Refused
from utk.console import console
from utk.jsonpath import evaluate

JSONPATH = "jsonpath="


def requested(argv: list[str]) -> str:
    """The shape asked for, from the bare words: errors obey it even when the words make no sense otherwise."""
    shape = "text"
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--":
            break
        if word in {"-o", "--output"}:
            shape = following
        elif word.startswith("--output="):
            shape = word.removeprefix("--output=")
        elif word.startswith("-o") and not word.startswith("--"):
            shape = word[2:].removeprefix("=")
    return shape


def allow(shape: str, *shapes: str) -> str:
    """The shape, if the command has it."""
    if shape in shapes or (JSONPATH in shapes and shape.startswith(JSONPATH)):
        return shape
    raise Refused.of(
        "UTK0604",
        field="-o",
        message=f"-o {shape} is not there",
        fix=f"choose one of: {', '.join(s + 'EXPRESSION' if s == JSONPATH else s for s in shapes)}",
    )


def show(shape: str, value: dict[str, Any], text: Callable[[], None], name: Callable[[], str] | None = None) -> None:
    """Writes `value` in the shape asked for; `text` writes it for a person."""
    if shape == "json":
        console.print(to_json(value))
    elif shape == "jsonl":
        console.print(to_json(value, indent=None))
    elif shape == "yaml":
        from ultrathink_api.loading import dump

        console.print(dump(value).rstrip("\n"))
    elif shape.startswith(JSONPATH):
        console.print(evaluate(shape.removeprefix(JSONPATH), value))
    elif shape == "name" and name:
        found = name()
        if found:
            console.print(found)
    else:
        text()


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON in plain ASCII: no terminal finds anything to obey in it, and NaN is refused."""
    return json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False)
