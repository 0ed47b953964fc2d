"""Images of jobs' pods, by the chart's policy on a real API server: from listed registries, by digest alone."""

import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from integration.chart.test_admission import CHART, DEADLINE_S, Guarded, a_set

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

DIGEST = "sha256:" + 64 * "a"
LISTED = "registry.example.com/ultrathink"


@pytest.fixture(scope="module")
def strict(control_plane: "ControlPlane") -> Iterator[Guarded]:
    """A namespace whose operator is held to profile values-strict.yaml."""
    from testbed.binaries import binary
    from testbed.crds import install
    from testbed.needs import require
    from ultrathink_api.crd import crds

    helm, kubectl = require(lambda: binary("helm")), require(lambda: binary("kubectl"))
    with control_plane.api_client() as api:
        install(api, crds())
    name = uuid.uuid4().hex[:8]
    place = Guarded(kubectl, control_plane.kubeconfig, control_plane.new_namespace(f"test-{name}"), f"r-{name}")
    settings = [
        *("--values", str(CHART / "values-strict.yaml"), "--set", "crds.install=false"),
        *("--set", f"images.operator.digest={DIGEST},images.trainer.digest={DIGEST}"),
        *("--set", f"admission.registries={{{LISTED}}}", "--set", "runtime.storage.secretName=s3"),
    ]
    shown = [part for file in ("admission", "rbac") for part in ("--show-only", f"templates/{file}.yaml")]
    render = [str(helm), "template", place.release, str(CHART), "--namespace", place.namespace, *settings, *shown]
    made = subprocess.run(render, capture_output=True, text=True, check=True).stdout
    place.must("apply", "-f", "-", stdin=made)
    deadline = time.monotonic() + DEADLINE_S
    while with_image(place, "elsewhere.example.com/mine").ok:
        assert time.monotonic() < deadline, "the policy did not take effect"
        time.sleep(0.1)
    yield place
    place.must("delete", "-f", "-", stdin=made)


def with_image(place: Guarded, image: str, account: str = "ultrathink-jobs") -> Any:
    made = a_set(place, serviceAccountName=account)
    made["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return place.create(made, place.operator)


def test_a_listed_image_by_its_digest_passes(strict: Guarded) -> None:
    made = with_image(strict, f"{LISTED}/ultrathink-trainer@{DIGEST}")
    assert made.ok, made.said


@pytest.mark.fault("N12")
@pytest.mark.parametrize(
    "image",
    [
        f"elsewhere.example.com/mine@{DIGEST}",
        f"{LISTED}.evil.example/trainer@{DIGEST}",
        f"{LISTED}-evil/trainer@{DIGEST}",
        f"registry.example.com/other@{DIGEST}",
        f"registry.exаmple.com/ultrathink/trainer@{DIGEST}",
        f"Registry.example.com/ultrathink/trainer@{DIGEST}",
        f"{LISTED}/trainer:latest",
        f"{LISTED}/trainer",
        f"{LISTED}/trainer@sha256:aaaa",
        f"{LISTED}/trainer@{DIGEST}:latest",
        f"{LISTED}/trainer@{DIGEST.upper()}",
    ],
)
def test_any_other_image_is_refused_with_a_fix(strict: Guarded, image: str) -> None:
    refused = with_image(strict, image)
    assert not refused.ok
    assert "UTK0540 images of jobs" in refused.said and "(fix: " in refused.said, refused.said


@pytest.mark.fault("N08")
@pytest.mark.parametrize("account", ["default", "trainer", "ultrathink-job"])
def test_an_account_that_is_not_listed_is_refused(strict: Guarded, account: str) -> None:
    refused = with_image(strict, f"{LISTED}/trainer@{DIGEST}", account)
    assert "UTK0540" in refused.said and "admission.serviceAccounts" in refused.said
