"""Models and rules become CustomResourceDefinitions and a schema for editors; `python -m ultrathink_api.crd` prints."""

import json
import sys
from typing import Any

import yaml

from ultrathink_api import API_GROUP, API_VERSION, job, runtime
from ultrathink_api.base import Section
from ultrathink_api.rules import RULES, TRANSITIONS, Statement

Schema = dict[str, Any]

KEPT = (
    "type",
    "description",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
)

JOB_COLUMNS = (
    ("Phase", "string", ".status.phase", 0, "Where the job is"),
    ("Reason", "string", ".status.reason", 0, "Why it is there"),
    ("Step", "integer", ".status.progress.step", 0, "Last step done"),
    ("Progress", "string", ".status.progress.percent", 0, "Share of the steps done"),
    ("ETA", "integer", ".status.progress.etaSeconds", 0, "Seconds to the end at this speed"),
    ("Loss", "string", ".status.progress.loss", 0, "Cross-entropy of the last step"),
    ("Workers", "integer", ".status.workers.ready", 0, "Workers whose agent answers"),
    ("Restarts", "integer", ".status.restarts.counted", 0, "Restarts that spent the budget"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since the job was made"),
    ("Tokens/s", "number", ".status.progress.tokensPerSecond", 1, "Speed of the last steps"),
    ("Goodput", "string", ".status.goodput.ratio", 1, "Share of wall time spent on steps that were kept"),
    ("Ckpt-Age", "date", ".status.checkpoint.committedAt", 1, "Time since the newest checkpoint"),
    ("Cluster", "integer", ".status.cluster.number", 1, "Number of the Ray cluster"),
)

RUNTIME_COLUMNS = (
    ("Image", "string", ".spec.image", 0, "Image of the trainer"),
    ("Provider", "string", ".spec.cluster.provider", 0, "Who keeps the pods"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since the runtime was made"),
)


def crds() -> list[Schema]:
    """Both CustomResourceDefinitions."""
    jobs = _definition(
        model=job.UltraThinkJob,
        plural=job.PLURAL,
        short="utj",
        columns=JOB_COLUMNS,
        rules=(*RULES, *TRANSITIONS),
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.workers.count",
                "statusReplicasPath": ".status.workers.ready",
                "labelSelectorPath": ".status.workers.selector",
            },
        },
    )
    runtimes = _definition(
        model=runtime.UltraThinkRuntime, plural=runtime.PLURAL, short="utr", columns=RUNTIME_COLUMNS, rules=()
    )
    return [jobs, runtimes]


def json_schema() -> Schema:
    """The schema of an UltraThinkJob for editors: unknown fields are refused, as the API server does."""
    schema = job.UltraThinkJob.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_effects(schema)}


def _definition(
    *,
    model: type[Section],
    plural: str,
    short: str,
    columns: tuple[tuple[str, str, str, int, str], ...],
    rules: tuple[Statement, ...],
    subresources: Schema | None = None,
) -> Schema:
    schema = _structural(model)
    for rule in rules:
        _attach(schema, rule)
    version: Schema = {
        "name": API_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": text}
            for name, kind, path, priority, text in columns
        ],
    }
    if subresources:
        version["subresources"] = subresources
    kind = model.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["ultrathink", "ml"],
            },
            "versions": [version],
        },
    }


def _attach(schema: Schema, rule: Statement) -> None:
    node = schema
    for name in filter(None, rule.at.split(".")):
        node = node["properties"][name]
    said = {"rule": rule.cel, "message": rule.said, "reason": "FieldValueInvalid"}
    below = rule.field.removeprefix(rule.at).lstrip(".")
    if below and not below.startswith("metadata"):
        said["fieldPath"] = f".{below}"
    node.setdefault("x-kubernetes-validations", []).append(said)


def _structural(model: type[Section]) -> Schema:
    """The structural schema of a kind: references inlined, only what an API server knows."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    definitions = raw.pop("$defs", {})
    schema = _convert(raw, definitions)
    properties = schema["properties"]
    properties["apiVersion"] = {"type": "string", "description": properties["apiVersion"]["description"]}
    properties["kind"] = {"type": "string", "description": properties["kind"]["description"]}
    properties["metadata"] = {"type": "object"}
    schema["required"] = ["spec"]
    return schema


def _convert(node: Schema, definitions: Schema) -> Schema:
    node = _merged(node, definitions)
    if "anyOf" in node:
        return _int_or_string(node)
    result = {key: node[key] for key in KEPT if key in node and node[key] is not None}
    if "const" in node:
        result["enum"] = [node["const"]]
        result.setdefault("type", "string")
        result.pop("default", None)
    if "exclusiveMinimum" in node:
        result |= {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True}
    if "exclusiveMaximum" in node:
        result |= {"maximum": node["exclusiveMaximum"], "exclusiveMaximum": True}
    if result.get("type") == "integer":
        result["format"] = "int64"
    if "properties" in node:
        result["properties"] = {name: _convert(child, definitions) for name, child in node["properties"].items()}
        if node.get("required"):
            result["required"] = node["required"]
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
        result |= _list_kind(result["items"])
    return result


def _merged(node: Schema, definitions: Schema) -> Schema:
    """References followed and `X or None` read as X; what stands beside wins over what is referred to."""
    beside = {key: value for key, value in node.items() if key not in {"$ref", "anyOf", "allOf"}}
    if "$ref" in node:
        return _merged({**definitions[node["$ref"].rsplit("/", 1)[1]], **beside}, definitions)
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        if len(options) == 1:
            return _merged({**options[0], **beside}, definitions)
        return {**beside, "anyOf": options}
    return node


def _int_or_string(node: Schema) -> Schema:
    kinds = {option["type"] for option in node["anyOf"]}
    assert kinds == {"integer", "string"}, f"a union that Kubernetes does not know: {kinds}"
    text = next(option for option in node["anyOf"] if option["type"] == "string")
    number = next(option for option in node["anyOf"] if option["type"] == "integer")
    known = {"description", "default", "pattern", "minimum", "maximum"}
    kept = {key: value for key, value in {**node, **text, **number}.items() if key in known}
    return {**kept, "anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


def _list_kind(items: Schema) -> Schema:
    """Conditions are a map by type, so that several managers may own one each; other lists change as one."""
    if "lastTransitionTime" in items.get("properties", {}):
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {"x-kubernetes-list-type": "atomic"}


def _without_effects(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_effects(value) for key, value in node.items() if key != "x-effect"}
    if isinstance(node, list):
        return [_without_effects(value) for value in node]
    return node


def main(arguments: list[str]) -> None:
    """Print the definitions as YAML, or with `--json-schema` the schema for editors."""
    if arguments == ["--json-schema"]:
        print(json.dumps(json_schema(), indent=2))
        return
    header = "# Generated by `make generate` from api/ultrathink_api; edit there.\n"
    print(header + yaml.safe_dump_all(crds(), sort_keys=False, width=1_000), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
