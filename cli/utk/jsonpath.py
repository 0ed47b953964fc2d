"""The part of kubectl's JSONPath that scripts use: `{.status.phase}`, `{.items[*].metadata.name}`, text between."""

import json
import re
from typing import Any

from ultrathink_api.errors import Refused

_PART = re.compile(r"\{([^{}]*)\}|([^{}]+)")
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']+)'\]|\[(-?\d+)\]|\[(\*)\]")


def evaluate(expression: str, value: Any) -> str:
    """The text of an expression; a field that is not there is empty, as in kubectl."""
    if "{" not in expression:
        expression = "{" + expression + "}"
    if "".join(match[0] for match in _PART.finditer(expression)) != expression:
        raise _unfit(expression)
    pieces = []
    for match in _PART.finditer(expression):
        pieces.append(_select(match[1], value) if match[2] is None else match[2].replace("\\n", "\n"))
    return "".join(pieces)


def _select(path: str, value: Any) -> str:
    path = path.strip().removeprefix("$")
    if path.startswith(('"', "'")):
        return path[1:-1].replace("\\n", "\n").replace("\\t", "\t")
    if not path.startswith((".", "[")):
        path = "." + path
    found, at = [value], 0
    if path == ".":
        return _text(value)
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise _unfit("{" + path + "}")
        at = step.end()
        found = [inner for outer in found for inner in _inside(outer, step)]
    return " ".join(_text(item) for item in found)


def _inside(value: Any, step: re.Match[str]) -> list[Any]:
    name, quoted, index, every = step.groups()
    if every:
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if index is not None:
        number = int(index)
        return [value[number]] if isinstance(value, list) and -len(value) <= number < len(value) else []
    key = name or quoted
    return [value[key]] if isinstance(value, dict) and key in value else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _unfit(expression: str) -> Refused:
    return Refused.of(
        "UTK0604",
        field="-o",
        message=f"{expression!r} is not a JSONPath that utk knows",
        fix="write for example -o jsonpath='{.status.phase}'; for more use -o json with jq",
    )
