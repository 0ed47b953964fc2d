"""Local runs without Ray around them: real supervisor, agent, zygote and ranks, for faults that Ray has no part in."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.runtime.conftest import STEPS, LocalRun, tiny_job

Run = Callable[..., LocalRun]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts one with these faults; what else is given belongs to its spec."""
    runs: list[LocalRun] = []

    def begin(*chaos: str, workers: int = 2, **spec: Any) -> LocalRun:
        runs.append(LocalRun(tmp_path, bare=True, chaos=list(chaos), job=tiny_job(workers=workers, **spec)))
        return runs[-1]

    yield begin
    for made in runs:
        made.close()


@pytest.fixture(scope="session")
def undisturbed_exactly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The same in fp64, where a sum in another order differs by less than anything that is learned."""
    training = {"steps": STEPS, "globalBatchTokens": 256, "precision": "fp64"}
    made = LocalRun(tmp_path_factory.mktemp("exactly"), bare=True, job=tiny_job(training=training))
    made.summary()
    yield made
    made.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The run that nothing happens to."""
    made = LocalRun(tmp_path_factory.mktemp("undisturbed"), bare=True)
    made.summary()
    yield made
    made.close()
