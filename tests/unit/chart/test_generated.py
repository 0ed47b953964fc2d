"""What is generated into the charts and manifests is what the code says today."""

import importlib.util
import json
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def generate(helm: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("charts_generate", ROOT / "charts" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_install_yaml_is_the_chart(generate: ModuleType) -> None:
    assert (ROOT / "manifests" / "install.yaml").read_text() == generate.install(), "run `make generate`"


def test_the_schema_of_runtime_is_the_apis(generate: ModuleType) -> None:
    schema = json.loads((ROOT / "charts" / "ultrathink" / "values.schema.json").read_text())
    assert schema["properties"]["runtime"] == generate.runtime_schema(), "run `make generate`"


def test_the_readme_has_every_value(generate: ModuleType) -> None:
    schema = json.loads((ROOT / "charts" / "ultrathink" / "values.schema.json").read_text())
    told = generate.README.read_text()
    assert told == generate.readme(told, schema), "run `make generate`"
    values = yaml.safe_load((ROOT / "charts" / "ultrathink" / "values.yaml").read_text())
    for section, inner in values.items():
        for name in inner if isinstance(inner, dict) and inner else [""]:
            assert f"`{section}.{name}".rstrip(".") in told


def test_the_schema_is_strict_at_every_level() -> None:
    def loose(node: dict, path: str) -> list[str]:
        found = [path] if "properties" in node and node.get("additionalProperties") is not False else []
        return found + [p for name, child in node.get("properties", {}).items() for p in loose(child, f"{path}.{name}")]

    assert not loose(json.loads((ROOT / "charts" / "ultrathink" / "values.schema.json").read_text()), "")


def test_install_yaml_holds_no_key() -> None:
    kinds = [o["kind"] for o in yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()) if o]
    assert "Secret" not in kinds
    assert kinds.count("CustomResourceDefinition") == 2


@pytest.mark.parametrize("chart", ["ultrathink", "ultrathink-crds"])
def test_charts_bear_the_version_of_the_distribution(chart: str) -> None:
    said = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (said["version"], said["appVersion"]) == (version, version)
