"""Schemas for kubeconform, of one version of Kubernetes each: made of its own OpenAPI description, strict."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from testbed import modules, paths

VERSIONS = ("v1.30.14", "v1.31.14", "v1.32.13", "v1.33.13", "v1.34.4", "v1.35.4", "v1.36.3")
"""The newest release of each version that the chart allows."""
FORMAT = 3
"""Of the files below; another number makes them anew."""
LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
_REFERENCE = "#/definitions/"
_LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}
"""What the API server reads more kindly than its description says."""
_OPEN = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
"""A schema inside of a CustomResourceDefinition holds anything as a default or an example."""


def folder(version: str, kinds: Iterable[str]) -> Path:
    """A folder with the schemas of these kinds, as this version has them: one file a kind, made once and kept."""
    made = paths.cache() / "schemas" / f"{version}-{FORMAT}"
    wanted = {kind.lower() for kind in kinds}
    if wanted - {file.name.partition("-")[0] for file in made.glob("*.json")}:
        described = modules.folder("k8s.io/kubernetes", version) / "api" / "openapi-spec" / "swagger.json"
        made.mkdir(parents=True, exist_ok=True)
        for name, schema in _kinds(json.loads(described.read_text())["definitions"], wanted):
            making = made / f".{os.getpid()}-{name}"
            making.write_text(json.dumps(schema))
            making.rename(made / name)
    return made


def _kinds(definitions: dict[str, Any], wanted: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            if "properties" not in definition or kind["kind"].lower() not in wanted:
                continue
            group = kind["group"].partition(".")[0]
            suffix = "-".join(part for part in (group, kind["version"]) if part)
            needed = {below: _strict(below, definitions[below]) for below in _reachable(name, definitions)}
            yield f"{kind['kind'].lower()}-{suffix.lower()}.json", {**needed[name], "definitions": needed}


def _reachable(name: str, definitions: dict[str, Any]) -> set[str]:
    seen, open_ = {name}, [name]
    while open_:
        for below in _references(definitions[open_.pop()]):
            if below not in seen:
                seen.add(below)
                open_.append(below)
    return seen


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_REFERENCE)
        for below in node.values():
            yield from _references(below)
    elif isinstance(node, list):
        for below in node:
            yield from _references(below)


def _strict(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    if name in _LOOSE:
        return _LOOSE[name]
    if name.startswith(_OPEN) and "properties" not in definition:
        return {}
    closed = "properties" in definition and "additionalProperties" not in definition
    plain = _without_formats(definition)
    return {**plain, "additionalProperties": False} if closed else plain


def _without_formats(node: Any) -> Any:
    """Formats are OpenAPI's own words: int32, byte, int-or-string."""
    if isinstance(node, dict):
        kept = {
            key: {name: _without_formats(below) for name, below in value.items()}
            if key == "properties"
            else _without_formats(value)
            for key, value in node.items()
            if not key.startswith("x-kubernetes")
        }
        if isinstance(kept.get("format"), str):
            del kept["format"]
        return kept
    return [_without_formats(below) for below in node] if isinstance(node, list) else node
