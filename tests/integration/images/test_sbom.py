"""Our bills of materials against CycloneDX's own schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ("github.com/CycloneDX/cyclonedx-go", "v0.12.0")


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    from testbed import modules
    from testbed.needs import require

    folder = require(lambda: modules.folder(*SCHEMAS)) / "schema"
    schema: dict[str, Any] = json.loads((folder / "bom-1.6.schema.json").read_text())
    parts = {"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"}
    resources = [
        (f"http://cyclonedx.org/schema/{name}", Resource(json.loads((folder / file).read_text()), DRAFT7))
        for name, file in parts.items()
    ]
    return Draft7Validator(schema, registry=Registry().with_resources(resources))


@pytest.mark.fault("N44")
@pytest.mark.parametrize("image", ["operator", "trainer"])
def test_a_scanner_understands_it(validator: Draft7Validator, monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "images"))
    import sbom  # type: ignore[import-not-found]

    made = sbom.bom(image)
    assert [error.message for error in validator.iter_errors(made)] == []
    broken = {**made, "components": [{"type": "library"}]}
    assert list(validator.iter_errors(broken)), "the schema would say so if it did not"
