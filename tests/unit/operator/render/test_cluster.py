"""The objects of a cluster: whose they are, who may speak to whom, and what the first processes read."""

import base64
import json
from typing import Any

import pytest

from ultrathink_api import protocol
from ultrathink_api.protocol import RunConfig
from ultrathink_operator.render import cluster, config
from unit.operator.parts.orders import order


def objects(runtime: dict[str, Any] | None = None, **spec: Any) -> dict[str, dict[str, Any]]:
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in cluster.objects(order(runtime, **spec))}


def run_config(runtime: dict[str, Any] | None = None, **spec: Any) -> RunConfig:
    return RunConfig.model_validate_json(objects(runtime, **spec)["ConfigMap/q-1"]["data"]["job.json"])


def egress(runtime: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = objects(runtime)["NetworkPolicy/q-1"]["spec"]["egress"]
    return found


def test_every_object_is_the_jobs_and_never_blocks_its_deletion() -> None:
    for made in objects().values():
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("job-uid", True, False)
        assert made["metadata"]["labels"]["ultrathink.io/job-uid"] == "job-uid"


def test_rendering_twice_gives_the_same() -> None:
    assert cluster.objects(order()) == cluster.objects(order())


def test_another_spec_or_runtime_has_another_digest() -> None:
    digests = {order().digest, order(training={"steps": 201}).digest, order({"image": "other"}).digest}
    assert len(digests) == 3


def test_sets_start_together_and_are_never_rolled() -> None:
    for name in ("StatefulSet/q-1-head", "StatefulSet/q-1-worker"):
        spec = objects()[name]["spec"]
        assert spec["podManagementPolicy"] == "Parallel"
        assert spec["updateStrategy"] == {"type": "OnDelete"}
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_the_service_serves_names_before_pods_are_ready() -> None:
    spec = objects()["Service/q-1"]["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True


def test_one_pod_may_be_evicted_at_a_time_and_a_sick_one_always() -> None:
    spec = objects(workers={"count": 4})["PodDisruptionBudget/q-1"]["spec"]
    assert spec["minAvailable"] == 4
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.fault("N28")
def test_only_the_operators_own_pods_reach_the_control_port() -> None:
    ingress = objects()["NetworkPolicy/q-1"]["spec"]["ingress"]
    (rule,) = [r for r in ingress if {"protocol": "TCP", "port": protocol.CONTROL_PORT} in r.get("ports", ())]
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ultrathink-system"}
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "operator"


@pytest.mark.fault("N28")
@pytest.mark.parametrize(
    "port", [protocol.RAY_PORT, protocol.DASHBOARD_PORT, protocol.STORE_PORT, protocol.AGENT_PORT, 10_001, 8_265]
)
def test_a_port_of_ray_is_open_for_pods_of_the_same_cluster_alone(port: int) -> None:
    policy = objects()["NetworkPolicy/q-1"]["spec"]
    assert "Ingress" in policy["policyTypes"]
    admits = [r for r in policy["ingress"] if "ports" not in r or port in [p["port"] for p in r["ports"]]]
    assert [rule["from"] for rule in admits] == [[{"podSelector": policy["podSelector"]}]]


def test_link_local_and_the_clusters_own_ranges_are_closed() -> None:
    (block,) = [t["ipBlock"] for r in egress() for t in r.get("to", ()) if "ipBlock" in t]
    assert block == {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "10.0.0.0/8"]}


@pytest.mark.parametrize(
    ("endpoint", "port"), [("http://minio.team:9000", 9000), ("https://s3.example", 443), ("http://s3.example", 80)]
)
def test_a_store_with_an_endpoint_is_reached_at_its_port(endpoint: str, port: int) -> None:
    rules = egress({"storage": {"uri": "s3://runs", "endpoint": endpoint}})
    assert {"protocol": "TCP", "port": port} in [p for r in rules for p in r.get("ports", ())]


@pytest.mark.parametrize(("identity", "opened"), [("none", 0), ("gke", 3), ("eks", 1)])
def test_workload_identity_opens_what_it_needs_and_no_more(identity: str, opened: int) -> None:
    blocks = [t["ipBlock"]["cidr"] for r in egress({"identity": identity}) for t in r.get("to", ()) if "ipBlock" in t]
    assert len([b for b in blocks if b.startswith("169.254.")]) == opened


def test_the_configuration_names_job_head_storage_and_plan() -> None:
    found = run_config()
    assert (found.job, found.namespace, found.uid, found.cluster) == ("q", "team", "job-uid", 1)
    assert found.head == "q-1-head-0.q-1.team.svc"
    assert found.storage.uri == "s3://runs"
    assert found.storage.credentials is None
    assert (found.nodes, found.ranks_per_node, found.agent_in_head) == (2, 1, False)
    assert found.plan["worldSize"] == 2


def test_the_configuration_names_the_image_of_its_pods() -> None:
    image = "registry.example/trainer@sha256:" + "0" * 64
    assert run_config({"image": image}).image == image


def test_the_jobs_own_bucket_goes_before_the_runtimes() -> None:
    assert run_config(checkpoint={"uri": "s3://mine/deep/"}).storage.uri == "s3://mine/deep/"


def test_credentials_are_a_folder_when_the_runtime_names_a_secret() -> None:
    storage = {"uri": "s3://runs", "secretName": "s3"}
    assert run_config({"storage": storage}).storage.credentials == protocol.STORAGE_DIRECTORY


def test_a_job_of_one_worker_has_no_worker_set() -> None:
    assert "StatefulSet/q-1-worker" not in objects(workers={"count": 1})
    assert run_config(workers={"count": 1}).agent_in_head is True


def test_rays_store_is_a_part_of_shared_memory() -> None:
    found = run_config({"pods": {"shm": "8Gi"}})
    assert found.ray.object_store_bytes == 2 * 2**30


def test_tokens_are_derived_and_differ_by_use_and_job() -> None:
    secret = config.tokens_secret("q", "team", "job-uid", 1, b"k" * 32)
    tokens = {use: base64.b64decode(text).decode() for use, text in secret["data"].items()}
    assert tokens == {use: protocol.token(b"k" * 32, "job-uid", use) for use in ("control", "ray")}
    assert tokens["control"] != tokens["ray"]
    assert secret["metadata"]["name"] == "q-1-job-uid"


@pytest.mark.fault("N31")
def test_no_token_is_in_anything_but_the_secret() -> None:
    text = json.dumps(objects())
    assert protocol.token(b"k" * 32, "job-uid", "control") not in text
