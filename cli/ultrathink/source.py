"""The text of a job and what was set over it: where a value came from, so that an error can point there."""

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.loading import Document, Span, load, parse_path, scalar

STDIN = "-"
STDIN_NAME = "<stdin>"
MOST_BYTES = 1 << 20
"""A job is a page of text; what is larger than the API server would take is another file, given by mistake."""

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Override:
    """One value set over the file: the option as it was written, and the field that it sets."""

    said: str
    path: FieldPath


@dataclass(frozen=True, slots=True)
class Source:
    """A document with what was set over it."""

    document: Document
    overrides: tuple[Override, ...] = field(default=())

    def set(self, path: str, value: Any, said: str | None = None) -> "Source":
        """The same with one field set; paths start below `spec`, `metadata.name` is allowed; None removes a field."""
        steps = _steps(path)
        option = said or f"--set {path}={value}"
        changed = copy.deepcopy(self.document.value)
        _put(changed, steps, value, option)
        document = replace(
            self.document, value=changed, values={at: s for at, s in self.document.values.items() if at != steps}
        )
        return Source(document, (*self.overrides, Override(option, steps)))

    def set_text(self, assignment: str) -> "Source":
        """`path=value` as `--set` takes it, the value read as YAML."""
        path, separator, text = assignment.partition("=")
        if not separator or not path.strip():
            raise Refused.of(
                "UTK0603",
                field=f"--set {assignment}",
                message=f"{assignment!r} does not say path=value",
                fix="write for example --set workers.count=4",
            )
        return self.set(path.strip(), scalar(text), f"--set {assignment}")

    def override_of(self, name: str) -> Override | None:
        """The option that set this field, or something around or inside it."""
        steps = parse_path(name)
        for override in reversed(self.overrides):
            shared = min(len(steps), len(override.path))
            if steps and steps[:shared] == override.path[:shared] and len(override.path) >= shared > 1:
                return override
        return None

    def span_of(self, name: str, code: str) -> Span | None:
        """Where in the text a problem stands: at a wrong key, else at the value or at what is around it."""
        if code == "UTK0102":
            return self.document.keys.get(parse_path(name)) or self.document.locate(name)
        return self.document.locate(name)


class Located(Refused):
    """A refusal that knows the text which it speaks of."""

    def __init__(self, source: Source, *problems: Problem) -> None:
        super().__init__(*problems)
        self.source = source


class Unreadable(Refused):
    """A text that stops being YAML, and where."""

    def __init__(self, problem: Problem, name: str, text: str, line: int, column: int) -> None:
        super().__init__(problem)
        self.name, self.text, self.line, self.column = name, text, line, column


def read(name: str) -> Source:
    """The job in a file, or on stdin for `-`. Raises Refused for anything that is not one readable YAML object."""
    text = sys.stdin.read() if name == STDIN else _read_file(name)
    return parse(text, STDIN_NAME if name == STDIN else name)


def parse(text: str, name: str) -> Source:
    """The job in a text."""
    if not text.strip():
        raise Refused.of("UTK0100", field=name, message=f"{name} is empty", fix="utk init writes one to start from")
    try:
        return Source(load(text, name))
    except Refused as refused:
        mark = getattr(refused.__context__, "problem_mark", None)
        if mark is None:
            raise Refused(*(p if p.field else replace(p, field=name) for p in refused.problems)) from None
        raise Unreadable(refused.problem, name, text, mark.line + 1, mark.column + 1) from None
    except RecursionError:
        raise Refused.of(
            "UTK0100",
            field=name,
            message=f"{name} nests too deep, or holds itself by an anchor",
            fix="write it flat",
        ) from None


def with_sets(source: Source, sets: Sequence[str]) -> Source:
    """The source with all of `--set`, in order."""
    for assignment in sets:
        source = source.set_text(assignment)
    return source


def _read_file(name: str) -> str:
    path = Path(name)
    if path.is_dir():
        raise Refused.of(
            "UTK0602", field=name, message=f"{name} is a folder, not a file", fix="name the YAML file inside it"
        )
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise Refused.of(
                "UTK0602", field=name, message=f"{name} is larger than {MOST_BYTES >> 20} MiB", fix="name a job's YAML"
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Refused.of(
            "UTK0601", field=name, message=f"there is no file {name}", fix="check the path, or write one with utk init"
        ) from None
    except UnicodeDecodeError as error:
        raise Refused.of(
            "UTK0602", field=name, message=f"{name} is not UTF-8 text (byte {error.start})", fix="name a job's YAML"
        ) from None
    except OSError as error:
        raise Refused.of(
            "UTK0602", field=name, message=f"{name} cannot be read: {error.strerror}", fix="check its permissions"
        ) from None


def _steps(path: str) -> FieldPath:
    steps = parse_path(path)
    if steps == ("metadata", "name") or steps[:1] == ("spec",):
        return steps
    if steps[:1] and steps[0] in {"metadata", "status", "apiVersion", "kind"}:
        raise Refused.of(
            "UTK0603",
            field=f"--set {path}",
            message=f"{path} cannot be set",
            why="paths start below spec; of the rest only metadata.name can be set",
            fix="write it into the file",
        )
    return ("spec", *steps)


def _put(value: dict[str, Any], steps: FieldPath, new: Any, option: str) -> None:
    here: Any = value
    for depth, step in enumerate(steps[:-1]):
        if isinstance(here, dict):
            if here.get(step) is None:
                here[step] = {}
            here = here[step]
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
        else:
            raise _not_there(steps[: depth + 1], option)
    last = steps[-1]
    if isinstance(here, list) and isinstance(last, int) and last < len(here):
        here[last] = new
    elif not isinstance(here, dict):
        raise _not_there(steps, option)
    elif new is None:
        here.pop(last, None)
    else:
        here[last] = new


def _not_there(steps: FieldPath, option: str) -> Refused:
    return Refused.of(
        "UTK0603",
        field=option,
        message=f"{'.'.join(map(str, steps))} lies inside a value that has no fields",
        fix="set the whole value around it instead",
    )
