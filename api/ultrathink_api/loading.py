"""YAML as the API server reads it, with the place of every field, so that an error can point at its line."""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ultrathink_api.errors import Refused

Path = tuple[str | int, ...]

MAX_DEPTH = 32
MAX_VALUES = 10_000
"""Far beyond any job; a few aliases of aliases are a billion values."""


@dataclass(frozen=True, slots=True)
class Span:
    """A place in the text, counted from 1; `end` is the column after the last character on the first line."""

    line: int
    column: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML object, where it came from, and where its fields stand."""

    value: dict[str, Any]
    source: str
    text: str
    keys: dict[Path, Span] = field(default_factory=dict)
    values: dict[Path, Span] = field(default_factory=dict)

    def locate(self, path: str) -> Span | None:
        """The place of a field like `spec.workers.count`, or of the nearest one around it."""
        steps = parse_path(path)
        for length in range(len(steps), 0, -1):
            found = self.values.get(steps[:length]) if length == len(steps) else self.keys.get(steps[:length])
            if found:
                return found
        return None


class _Loader(yaml.SafeLoader):
    """SafeLoader with the API server's reading of scalars: 1e-5 is a number, a date is a string."""


_NOT_OURS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_OURS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = re.compile(r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+(?:[eE][-+]?\d+)?)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that the reader above would take for a number, 1e3 among them."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def dump(value: Any) -> str:
    """YAML that `load`, kubectl and we read as just this value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def load(text: str, source: str) -> Document:
    """The one object in `text`. Raises Refused with the line where it stops being YAML."""
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
        if len(nodes) != 1:
            raise Refused.of(
                "UTK0100",
                message=f"{source} holds {len(nodes)} YAML documents, one is needed",
                fix="keep one UltraThinkJob in a file",
            )
        document = Document(value={}, source=source, text=text)
        value = _build(nodes[0], (), document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise Refused.of(
            "UTK0100", message=f"{source} is not YAML{where}: {problem}", fix="correct the line named here"
        ) from None
    if not isinstance(value, dict):
        raise Refused.of(
            "UTK0100", message=f"{source} holds a {type(value).__name__}, not an object", fix="start with apiVersion:"
        )
    document.value.update(value)
    return document


def scalar(text: str) -> Any:
    """One value as YAML writes it: what `--set path=value` takes."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else _build(node, (), Document(value={}, source=repr(text), text=text))
    except yaml.YAMLError:
        raise Refused.of("UTK0100", message=f"{text!r} is not a YAML value", fix="quote it") from None


def parse_path(path: str) -> Path:
    """`spec.list[0].x` as steps."""
    steps: list[str | int] = []
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        steps.append(int(index) if index else name)
    return tuple(steps)


def closest(word: str, words: list[str]) -> str | None:
    """The word that was probably meant."""
    return next(iter(difflib.get_close_matches(word, words, n=1, cutoff=0.6)), None)


def _build(node: yaml.Node, path: Path, document: Document) -> Any:
    if len(path) > MAX_DEPTH or len(document.values) > MAX_VALUES:
        raise Refused.of(
            "UTK0100",
            message=f"{document.source}:{node.start_mark.line + 1}: deeper than {MAX_DEPTH} levels "
            f"or more than {MAX_VALUES:,} values, aliases counted as often as they are used",
            fix="write the job without anchors and aliases",
        )
    document.values[path] = _span(node)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                raise Refused.of(
                    "UTK0100",
                    field=".".join(map(str, here)),
                    message=f"{document.source}:{key_node.start_mark.line + 1}: {key} is given twice",
                    fix="keep one of the two",
                )
            document.keys[here] = _span(key_node)
            result[key] = _build(value_node, here, document)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, index), document) for index, child in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    constructor = _Loader("")
    try:
        return constructor.construct_object(node)
    finally:
        constructor.dispose()


def _span(node: yaml.Node) -> Span:
    start, end = node.start_mark, node.end_mark
    stop = end.column if end.line == start.line else start.column + 1
    return Span(line=start.line + 1, column=start.column + 1, end=max(stop, start.column + 1) + 1)
