"""The CRDs are what the models and rules say, small enough to apply, and explained field by field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from ultrathink_api.base import EFFECTS
from ultrathink_api.crd import crds, json_schema
from ultrathink_api.job import JobSpec
from ultrathink_api.rules import RULES, TRANSITIONS
from ultrathink_api.runtime import RuntimeSpec
from vectors.reading import changed

ROOT = Path(__file__).parents[3]
PLAIN_APPLY_BYTES = 128_000
"""Half of what fits the annotation that plain `kubectl apply` writes."""


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
        yield from fields(child.get("items", {}), f"{path}.{name}[]")


def schemas() -> list[dict[str, Any]]:
    return [crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds()]


def test_the_generated_file_is_what_the_models_say() -> None:
    kept = list(yaml.safe_load_all((ROOT / "manifests/crds.yaml").read_text()))
    assert kept == crds(), "run `make generate`"


def test_both_definitions_fit_plain_kubectl_apply() -> None:
    assert (ROOT / "manifests/crds.yaml").stat().st_size < PLAIN_APPLY_BYTES


def test_every_field_is_explained() -> None:
    silent = [
        path
        for schema in schemas()
        for path, child in fields(schema)
        if path != ".metadata" and not child.get("description")
    ]
    assert silent == []


def test_every_field_of_a_spec_says_how_a_change_takes_effect() -> None:
    for model in (JobSpec, RuntimeSpec):
        schema = next(s for s in schemas() if set(s["properties"]["spec"]["properties"]) == _names(model))
        silent = [
            path
            for path, child in fields(schema["properties"]["spec"])
            if not child["description"].endswith(tuple(EFFECTS.values()))
        ]
        assert silent == []


def _names(model: type) -> set[str]:
    return {field.alias for field in model.model_fields.values()}


def test_every_default_that_is_promised_is_in_the_schema_or_comes_from_elsewhere() -> None:
    spec = schemas()[0]["properties"]["spec"]
    assert dict(fields(spec))[".training.optimizer.weightDecay"]["default"] == 0.1
    assert dict(fields(spec))[".parallelism"]["default"] == {}


def test_every_rule_is_in_the_definition_with_its_code() -> None:
    said = [rule["message"] for rule in _validations(schemas()[0])]
    assert sorted(said) == sorted(rule.said for rule in (*RULES, *TRANSITIONS))


def _validations(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from schema.get("x-kubernetes-validations", [])
    for child in schema.get("properties", {}).values():
        yield from _validations(child)


def test_the_editors_schema_accepts_the_smallest_job_and_refuses_an_unknown_field() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(changed({}))
    assert not validator.is_valid(changed({"workers.replicas": 3}))
