"""Renders the charts by a real Helm."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHARTS = Path(__file__).resolve().parents[3] / "charts"
Objects = list[dict[str, Any]]


class NotRendered(Exception):
    """Helm refused; its words are the argument."""


@pytest.fixture(scope="session")
def helm() -> Path:
    from testbed.binaries import binary
    from testbed.needs import require

    return require(lambda: binary("helm"))


@pytest.fixture(scope="session")
def render(helm: Path) -> Callable[..., Objects]:
    """render("a.b=c", ..., chart="ultrathink") -> the objects; each argument is one that `helm --set-json` takes."""

    def run(*settings: str, chart: str = "ultrathink") -> Objects:
        given = [part for setting in settings for part in ("--set-json", setting)]
        command = [helm, "template", "release", CHARTS / chart, "--namespace", "home", "--skip-tests", *given]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotRendered(done.stderr)
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return run


@pytest.fixture(scope="session")
def one() -> Callable[..., dict[str, Any]]:
    """one(objects, kind, name=None) -> the only one there is."""

    def find(objects: Objects, kind: str, name: str | None = None) -> dict[str, Any]:
        found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
        return found[0]

    return find
