"""What is rendered is what a real API server takes, in a namespace that admits restricted pods alone."""

from typing import Any

import pytest
from kubernetes import client, utils

from integration.operator.parts.place import Place
from ultrathink_operator.render import cluster, config, pods
from unit.operator.parts.orders import order

LARGE = {"workers": {"count": 4, "gpus": 8}, "training": {"steps": 10, "globalBatchTokens": 4096}}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the smallest job": ({}, {}),
    "one worker": ({}, {"workers": {"count": 1}}),
    "GPUs": ({}, LARGE),
    "every setting of a runtime": (
        {
            "imagePullPolicy": "Always",
            "serviceAccountName": "default",
            "identity": "gke",
            "storage": {"uri": "s3://runs", "endpoint": "http://minio:9000", "region": "r", "secretName": "s3"},
            "pods": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "shm": "1Gi"},
        },
        {"checkpoint": {"graceSeconds": 300}},
    ),
    "EKS": ({"identity": "eks"}, {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_object_is_taken_strictly(lonely: Place, shape: str) -> None:
    runtime, spec = SHAPES[shape]
    made = order(runtime, **spec)
    secret = config.tokens_secret(made.job, made.namespace, made.uid, made.number, b"k" * 32)
    for manifest in (*cluster.objects(made), secret):
        manifest["metadata"]["namespace"] = lonely.namespace
        utils.create_from_dict(lonely.api, manifest, dry_run="All", field_validation="Strict")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("role", ["head", "worker"])
def test_every_pod_passes_the_restricted_standard(lonely: Place, shape: str, role: str) -> None:
    runtime, spec = SHAPES[shape]
    template = pods.template(order(runtime, **spec), role)
    body = {"metadata": {"name": role, **template["metadata"]}, "spec": template["spec"]}
    client.CoreV1Api(lonely.api).create_namespaced_pod(lonely.namespace, body, dry_run="All", field_validation="Strict")
