"""A real API server with controllers and our CRDs, and in it a namespace, an operator process, and heads to talk to."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually
from integration.operator.parts.process import KEY, OperatorProcess

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

CRDS = Path(__file__).parents[3] / "manifests" / "crds.yaml"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def plane(control_plane_with_controllers: "ControlPlane") -> "ControlPlane":
    """With the CRDs served."""
    from kubernetes import client

    with control_plane_with_controllers.api_client() as admin:
        extensions = client.ApiextensionsV1Api(admin)
        for crd in yaml.safe_load_all(CRDS.read_text()):
            extensions.create_custom_resource_definition(crd)
        eventually(lambda: _served(client.CustomObjectsApi(admin)))
    return control_plane_with_controllers


@pytest.fixture
def place(plane: "ControlPlane") -> Place:
    """A namespace that admits restricted pods only."""
    from kubernetes import client

    name = f"op-{uuid.uuid4().hex[:8]}"
    with plane.api_client() as admin:
        client.CoreV1Api(admin).create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    return Place(plane, name)


@pytest.fixture
def operator(place: Place, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator as a process with its own account, ready."""
    with OperatorProcess(tmp_path / "operator", place.namespace, place.kubeconfig_of_operator()) as process:
        process.wait_ready()
        yield process


@pytest.fixture
def head_of(place: Place) -> Iterator[Callable[..., Head]]:
    """Runs all pods of a job's cluster, its head being a server of the test's."""
    with ExitStack() as heads:

        def run(job: str, number: int = 1, workers: int = 2) -> Head:
            head = heads.enter_context(Head(place.job(job)["metadata"]["uid"], KEY, number))
            names = [f"{job}-{number}-head-0", *(f"{job}-{number}-worker-{i}" for i in range(workers))]
            eventually(lambda: {p.metadata.name for p in place.pods()} >= set(names), says=place.children)
            for index, name in enumerate(names):
                place.run_pod(name, head.ip if index == 0 else f"10.0.0.{index}")
            return head

        yield run


def _served(custom: Any) -> bool:
    from kubernetes.client.exceptions import ApiException

    try:
        custom.list_cluster_custom_object("ultrathink.io", "v1alpha1", "ultrathinkjobs")
        custom.list_cluster_custom_object("ultrathink.io", "v1alpha1", "ultrathinkruntimes")
    except ApiException:
        return False
    return True
