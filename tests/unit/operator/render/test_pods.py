"""The pods: restricted, read-only, without a token of Kubernetes, and nothing of the user's in them."""

from typing import Any

import pytest

from ultrathink_api import protocol
from ultrathink_operator.render import pods
from unit.operator.parts.orders import order

ROLES = ("head", "worker")


def spec(role: str, runtime: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = pods.template(order(runtime, **changes), role)["spec"]
    return found


def container(role: str, runtime: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = spec(role, runtime, **changes)["containers"][0]
    return found


def environment(role: str, **changes: Any) -> dict[str, Any]:
    return {e["name"]: e.get("value") for e in container(role, **changes)["env"]}


@pytest.mark.parametrize("role", ROLES)
class TestEveryPod:
    def test_gets_no_credential_of_kubernetes(self, role: str) -> None:
        assert spec(role)["automountServiceAccountToken"] is False
        assert spec(role)["enableServiceLinks"] is False

    def test_runs_as_a_user_that_may_nothing(self, role: str) -> None:
        assert spec(role)["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container(role)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_uses_no_part_of_its_node(self, role: str) -> None:
        assert not {"hostNetwork", "hostPID", "hostIPC", "nodeName", "priorityClassName"} & set(spec(role))
        assert all(set(v) <= {"name", "configMap", "secret", "emptyDir"} for v in spec(role)["volumes"])

    def test_may_write_to_sized_places_alone(self, role: str) -> None:
        writable = {m["name"] for m in container(role)["volumeMounts"] if not m.get("readOnly")}
        sizes = {v["name"]: v["emptyDir"]["sizeLimit"] for v in spec(role)["volumes"] if "emptyDir" in v}
        assert writable == sizes.keys() == {"tmp", "shm"}

    def test_ends_within_the_checkpoints_grace_and_a_margin(self, role: str) -> None:
        assert spec(role, checkpoint={"graceSeconds": 90})["terminationGracePeriodSeconds"] == 120

    def test_leaves_a_lost_node_after_thirty_seconds(self, role: str) -> None:
        assert [t["tolerationSeconds"] for t in spec(role)["tolerations"]] == [30, 30]

    def test_holds_tokens_and_credentials_as_files_that_only_it_reads(self, role: str) -> None:
        runtime = {"storage": {"uri": "s3://runs", "secretName": "s3"}}
        secrets = {v["name"]: v["secret"] for v in spec(role, runtime)["volumes"] if "secret" in v}
        assert {name: s["defaultMode"] for name, s in secrets.items()} == {"tokens": 0o440, "storage": 0o440}
        assert secrets["storage"]["secretName"] == "s3"
        assert not [e for e in container(role, runtime)["env"] if "secretKeyRef" in str(e)]

    def test_asks_for_the_memory_that_it_is_limited_to(self, role: str) -> None:
        resources = container(role)["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]

    def test_knows_its_own_address_its_name_and_its_node(self, role: str) -> None:
        fields = {
            e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container(role)["env"] if "valueFrom" in e
        }
        assert fields == {
            protocol.NODE_ENV: "metadata.name",
            protocol.HOST_ENV: "spec.nodeName",
            protocol.POD_IP_ENV: "status.podIP",
        }

    def test_starts_ray_with_token_authentication(self, role: str) -> None:
        assert environment(role)["RAY_AUTH_MODE"] == "token"
        assert environment(role)["RAY_AUTH_TOKEN_PATH"] == f"{protocol.TOKENS_DIRECTORY}/{protocol.RAY_TOKEN}"


def test_head_and_workers_start_what_the_protocol_names() -> None:
    assert container("head")["command"] == list(protocol.SUPERVISOR_COMMAND)
    assert container("worker")["command"] == list(protocol.AGENT_COMMAND)
    assert container("head")["readinessProbe"]["httpGet"]["port"] == protocol.CONTROL_PORT
    assert container("worker")["readinessProbe"]["httpGet"]["port"] == protocol.AGENT_PORT


def test_gpus_go_to_workers_and_never_to_a_head_that_does_not_train() -> None:
    workers = {"count": 2, "gpus": 8}
    batch = {"steps": 200, "globalBatchTokens": 2048}
    assert container("worker", workers=workers, training=batch)["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert "nvidia.com/gpu" not in container("head", workers=workers, training=batch)["resources"]["limits"]


def test_the_head_of_a_job_of_one_worker_gets_what_both_would() -> None:
    resources = container("head", workers={"count": 1, "cpus": 2, "memory": "6Gi"})["resources"]
    assert resources["requests"] == {"cpu": "2500m", "memory": "10240Mi"}


def test_a_rank_has_its_share_of_the_workers_threads() -> None:
    assert environment("worker", workers={"count": 2, "cpus": 4})["OMP_NUM_THREADS"] == "4"
    assert environment("worker", workers={"count": 2, "cpus": "500m"})["OMP_NUM_THREADS"] == "1"
    assert environment("head", workers={"count": 2, "cpus": 4})["OMP_NUM_THREADS"] == "1"


def test_the_runtime_chooses_account_nodes_and_tolerations() -> None:
    runtime = {
        "serviceAccountName": "trainer",
        "pods": {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
    }
    found = spec("worker", runtime)
    assert found["serviceAccountName"] == "trainer"
    assert found["nodeSelector"] == {"pool": "gpu"}
    assert found["tolerations"][2:] == [{"key": "gpu", "operator": "Exists"}]


def test_the_runtimes_volumes_are_seen_by_head_and_workers_alike() -> None:
    shared = [
        {"claimName": "corpora", "mountPath": "/mnt/corpora", "readOnly": True},
        {"claimName": "runs", "mountPath": "/mnt/runs"},
    ]
    for role in ROLES:
        runtime = {"pods": {"volumes": shared}}
        claims = {
            v["name"]: v["persistentVolumeClaim"]["claimName"]
            for v in spec(role, runtime)["volumes"]
            if "persistentVolumeClaim" in v
        }
        mounts = [m for m in container(role, runtime)["volumeMounts"] if m["name"] in claims]
        assert [(claims[m["name"]], m["mountPath"], m["readOnly"]) for m in mounts] == [
            ("corpora", "/mnt/corpora", True),
            ("runs", "/mnt/runs", False),
        ]


def test_devices_and_nccl_settings_are_the_runtimes() -> None:
    runtime = {"pods": {"devices": {"rdma/hca": 8}, "nccl": {"IB_HCA": "mlx5"}}}
    assert container("worker", runtime)["resources"]["limits"]["rdma/hca"] == "8"
    assert "rdma/hca" not in container("head", runtime)["resources"]["limits"]
    assert {e["name"]: e.get("value") for e in container("worker", runtime)["env"]}["NCCL_IB_HCA"] == "mlx5"
