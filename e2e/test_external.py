"""A cluster that exists already serves the suite as well: the one of processes, seen from outside by its kubeconfig."""

import shutil

import pytest
from e2e.house import JOBS, House, images
from e2e.kubernetes import Kubernetes
from e2e.pods import said_by

from testbed.binaries import binary
from testbed.makers import choose, kind
from testbed.node import layout

SAY_VERSION = "from importlib.metadata import version; print(version('ultrathink'))"


@pytest.fixture
def from_outside(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person exports who has a cluster already; for one of processes it is what `make cluster` prints."""
    if house.maker == "external":
        return
    monkeypatch.setenv("UTK_E2E_KUBECONFIG", str(house.kubernetes.kubeconfig))
    monkeypatch.setenv("UTK_TEST_S3_ENDPOINT", house.s3.endpoint)
    monkeypatch.setenv("UTK_TEST_S3_ACCESS_KEY", house.s3.access_key)
    monkeypatch.setenv("UTK_TEST_S3_SECRET_KEY", house.s3.secret_key)
    if house.maker == "kind":
        program = shutil.which("kind") or str(binary("kind"))
        monkeypatch.setenv("UTK_E2E_HAND_OVER", f"{program} load docker-image {{image}} --name {kind.NAME}")
    else:
        monkeypatch.setenv("REGISTRY", layout.REGISTRY)


@pytest.mark.usefixtures("from_outside")
def test_a_kubeconfig_is_enough_to_run_an_image_there() -> None:
    with choose() as cluster:
        assert cluster.maker == "external"
        kubernetes = Kubernetes(cluster.kubeconfig)
        image = cluster.hand_over(images.build(cluster.build, "operator", images.tag("operator")))
        said = said_by(kubernetes, JOBS, "handed-over", image, "python", "-c", SAY_VERSION)
        assert said.strip() == images.version()
