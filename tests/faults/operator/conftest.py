"""A real API server with controllers and our CRDs, for operators that are disturbed."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from faults.operator.parts.sweep import Golden, record

CRDS = Path(__file__).parents[3] / "manifests" / "crds.yaml"


@pytest.fixture(scope="session")
def plane() -> Iterator[Any]:
    from testbed.apiserver import ControlPlane
    from testbed.needs import require

    made = require(ControlPlane(controllers=True).__enter__)
    try:
        _install_crds(made)
        yield made
    finally:
        made.__exit__()


def _install_crds(plane: Any) -> None:
    from testbed.crds import install

    with plane.api_client() as admin:
        install(admin, list(yaml.safe_load_all(CRDS.read_text())))


@pytest.fixture(scope="session")
def everything(request: pytest.FixtureRequest) -> bool:
    """Whether every point of a sweep is asked for (`make robustness`), not a seeded tenth (`make test`)."""
    return request.config.getoption("--faults") is not None


@pytest.fixture(scope="session")
def seed() -> int:
    """Chooses the tenth."""
    return int(os.environ.get("UTK_FAULT_SEED", "0"))


@pytest.fixture(scope="session")
def golden(plane: Any) -> Callable[[str], Golden]:
    """Each golden life is played once."""
    known: dict[str, Golden] = {}

    def of(life: str) -> Golden:
        if life not in known:
            known[life] = asyncio.run(record(plane, life))
        return known[life]

    return of
