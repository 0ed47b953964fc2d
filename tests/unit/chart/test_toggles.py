"""Helm-unittest over the chart: its suite passes, and toggles every value that the schema knows."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[3] / "charts" / "ultrathink"
WHOLE = ("runtime", "commonLabels", "serviceAccount.annotations", "monitoring.labels")
"""Handed on as they are, whatever stands below."""
NOT_READ = ("global",)


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, below in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        deeper = below.get("properties") and here not in WHOLE and not here.startswith("operator.")
        yield from leaves(below, here) if deeper else [here]


def said(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, below in values.items():
        here = f"{path}.{name}".lstrip(".")
        yield here
        if isinstance(below, dict):
            yield from said(below, here)


def test_the_suite_passes() -> None:
    from testbed.binaries import binary
    from testbed.needs import require

    program = require(lambda: binary("helm-unittest"))
    done = subprocess.run([str(program), str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_suite_toggles_every_value_of_the_schema() -> None:
    suite = yaml.safe_load((CHART / "tests" / "values_test.yaml").read_text())
    toggled = {path for test in suite["tests"] for path in said(test["set"])}
    known = set(leaves(json.loads((CHART / "values.schema.json").read_text()))) - set(NOT_READ)
    assert len(known) > 30
    assert known - toggled == set()
