"""Fields of a job's spec: those that a cluster serves, and those that we know."""

from typing import Any

from ultrathink_api.job import KIND


def served(document: dict[str, Any]) -> frozenset[str]:
    """The fields in the OpenAPI document of our group, which everybody who is signed in may read."""
    schemas = ((document.get("components") or {}).get("schemas") or {}).values()
    for schema in schemas:
        kinds = schema.get("x-kubernetes-group-version-kind") or []
        if any(entry.get("kind") == KIND for entry in kinds):
            return _fields(schema)
    return frozenset()


def known() -> frozenset[str]:
    """The fields of our own CRD."""
    from ultrathink_api.crd import crds

    (version,) = crds()[0]["spec"]["versions"]
    return _fields(version["schema"]["openAPIV3Schema"])


def _fields(schema: dict[str, Any]) -> frozenset[str]:
    return frozenset(_below(schema["properties"]["spec"], "spec"))


def _below(node: dict[str, Any], path: str) -> set[str]:
    inside = node.get("items") or node
    found: set[str] = set()
    for name, child in (inside.get("properties") or {}).items():
        found |= {f"{path}.{name}", *_below(child, f"{path}.{name}")}
    return found
