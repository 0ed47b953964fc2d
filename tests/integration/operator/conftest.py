"""A real API server with controllers and our CRDs, and in it a namespace, an operator process, and heads to talk to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually, new_namespace, operator_account
from integration.operator.parts.process import KEY, OperatorProcess

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

CRDS = Path(__file__).parents[3] / "manifests" / "crds.yaml"
NAMESPACES = 32


@pytest.fixture(scope="session")
def plane(control_plane_with_controllers: "ControlPlane") -> "ControlPlane":
    """With the CRDs served."""
    from testbed.crds import install

    with control_plane_with_controllers.api_client() as admin:
        install(admin, list(yaml.safe_load_all(CRDS.read_text())))
    return control_plane_with_controllers


@dataclass
class Served:
    """One operator and the namespaces that it watches, handed out one a test."""

    process: OperatorProcess
    free: list[str]


@pytest.fixture(scope="session")
def served(plane: "ControlPlane", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The operator as a process with its own account, in a namespace of its own, watching a list of others."""
    own, watched = new_namespace(plane), [new_namespace(plane) for _ in range(NAMESPACES)]
    account = operator_account(plane, own, watched)
    folder = tmp_path_factory.mktemp("operator")
    more = {"ULTRATHINK_WATCH_NAMESPACES": ",".join(watched)}
    with OperatorProcess(folder, own, account, **more) as process:
        process.wait_ready()
        yield Served(process, watched)


@pytest.fixture
def operator(served: Served) -> OperatorProcess:
    return served.process


@pytest.fixture
def place(plane: "ControlPlane", served: Served) -> Place:
    """A namespace that the operator watches."""
    return Place(plane, served.free.pop())


@pytest.fixture
def lonely(plane: "ControlPlane") -> Place:
    """A namespace that no operator watches yet."""
    return Place(plane, new_namespace(plane))


@pytest.fixture
def head_of() -> Iterator[Callable[..., Head]]:
    """Runs all pods of a job's cluster, its head being a server of the test's."""
    with ExitStack() as heads:

        def run(place: Place, job: str, number: int = 1, workers: int = 2) -> Head:
            head = heads.enter_context(Head(place.job(job)["metadata"]["uid"], KEY, number))
            names = [f"{job}-{number}-head-0", *(f"{job}-{number}-worker-{i}" for i in range(workers))]
            eventually(lambda: {p.metadata.name for p in place.pods()} >= set(names), says=place.children)
            for index, name in enumerate(names):
                place.run_pod(name, head.ip if index == 0 else f"10.0.0.{index}")
            return head

        yield run
