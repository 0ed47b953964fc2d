"""A cluster that exists already serves the suite as well: the one of processes, seen from outside by its kubeconfig."""

import json
import os

import pytest
from e2e.house import JOBS, House, images
from e2e.kubernetes import Kubernetes
from e2e.waiting import wait_for

from testbed.makers import choose
from testbed.node import layout

RUN_S = 120.0
POD = "handed-over"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_a_kubeconfig_is_enough_to_run_an_image_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    if house.maker == "processes":  # what `make cluster` prints
        monkeypatch.setenv("UTK_E2E_KUBECONFIG", str(house.kubernetes.kubeconfig))
        monkeypatch.setenv("REGISTRY", layout.REGISTRY)
        monkeypatch.setenv("UTK_TEST_S3_ENDPOINT", house.s3.endpoint)
        monkeypatch.setenv("UTK_TEST_S3_ACCESS_KEY", house.s3.access_key)
        monkeypatch.setenv("UTK_TEST_S3_SECRET_KEY", house.s3.secret_key)
    elif "UTK_E2E_KUBECONFIG" not in os.environ:
        pytest.skip("a cluster of kind's is not external; UTK_E2E_KUBECONFIG against `make cluster` shows it")
    with choose() as cluster:
        assert cluster.maker == "external"
        kubernetes = Kubernetes(cluster.kubeconfig)
        image = cluster.hand_over(images.build(cluster.build, "operator", images.tag("operator")))
        kubernetes.kubectl("apply", "-n", JOBS, "-f", "-", stdin=json.dumps(pod(image)))
        try:

            def ended() -> bool:
                return (kubernetes.get("pod", POD, "-n", JOBS) or {})["status"].get("phase") in ("Succeeded", "Failed")

            wait_for("the pod to end", ended, RUN_S, lambda: kubernetes.kubectl("describe", "pod", POD, "-n", JOBS))
            assert kubernetes.kubectl("logs", "-n", JOBS, POD).strip() == images.version()
        finally:
            kubernetes.kubectl("delete", "pod", POD, "-n", JOBS, "--wait=false")


def pod(image: str) -> dict[str, object]:
    said = "from importlib.metadata import version; print(version('ultrathink'))"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "command": ["python", "-c", said],
                    "securityContext": RESTRICTED,
                }
            ],
        },
    }
