"""`utk` against a real API server with our CRDs, where the test itself is operator and kubelet."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.cli.parts.command import Utk

if TYPE_CHECKING:
    from integration.cli.parts.kubelet import Kubelet
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane
    from testbed.s3 import S3Server

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "quickstart.yaml"


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """The quickstart job, unchanged."""
    path = tmp_path / "quickstart.yaml"
    path.write_text(EXAMPLE.read_text())
    return path


@pytest.fixture(scope="module")
def installed(control_plane: "ControlPlane") -> "ControlPlane":
    """With the CRDs served."""
    from testbed.crds import install
    from ultrathink_api.crd import crds

    with control_plane.api_client() as api:
        install(api, crds())
    return control_plane


@pytest.fixture
def utk(tmp_path: Path) -> Utk:
    """Without any cluster."""
    return Utk(tmp_path, {})


@pytest.fixture
def kubectl(installed: "ControlPlane", namespace: str, tmp_path: Path) -> Utk:
    """With the admin's kubeconfig, in a namespace of its own."""
    import yaml

    config = yaml.safe_load(installed.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Utk(tmp_path, {"KUBECONFIG": str(path)})


@pytest.fixture
def credentials(s3_server: "S3Server", kubectl: Utk) -> dict[str, str]:
    """The bucket's, as a user exports them."""
    said = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_REGION": "us-east-1",
    }
    kubectl.environ |= said
    return said


@pytest.fixture
def stage(installed: "ControlPlane", namespace: str) -> Iterator["Stage"]:
    """The operator's part."""
    from integration.cli.parts.stage import Stage

    with installed.api_client() as api:
        yield Stage(api, namespace)


@pytest.fixture
def kubelet(installed: "ControlPlane", tmp_path: Path) -> Iterator["Kubelet"]:
    """The kubelet's part."""
    from integration.cli.parts.kubelet import Kubelet
    from testbed.pki import Authority

    certificate, key = Authority(tmp_path / "pki").issue("kubelet", "kubelet", serves=("IP:127.0.0.1",))
    with installed.api_client() as api:
        server = Kubelet(certificate, key, api, f"node-{uuid.uuid4().hex[:8]}")
        yield server
        server.close()
