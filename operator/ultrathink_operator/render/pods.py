"""The pods of head and workers, once, for every provider: restricted, read-only, without a token of Kubernetes."""

from typing import Any

from ultrathink_api import names
from ultrathink_api.protocol import (
    AGENT_COMMAND,
    AGENT_PORT,
    CONFIG_FILE,
    CONTROL_PORT,
    HEALTH_PATH,
    HOST_ENV,
    METRICS_PORT,
    NODE_ENV,
    POD_IP_ENV,
    RAY_TOKEN,
    STORAGE_DIRECTORY,
    SUPERVISOR_COMMAND,
    TOKENS_DIRECTORY,
)
from ultrathink_operator.render import quantity
from ultrathink_operator.render.order import Manifest, Order

CONTAINER = "trainer"
USER = 1000
GRACE_MARGIN_S = 30
"""Beyond the checkpoint's own grace: Ray's stop, and the last requests to the store."""
LOST_NODE_S = 30
"""How long a pod stays bound to a node that is gone; Kubernetes' own default is five minutes."""
TMP_SIZE = "10Gi"
"""Room for Ray's logs and spilled objects; a pod that writes more is evicted, not its node filled."""
SECRET_MODE = 0o440
"""Readable by the group that fsGroup gives the pod, by nobody else."""
READY_PERIOD_S = 2
RAY_RECONNECT_S = "5"
"""Ray waits a minute for a lost head by itself; ours is back within seconds."""


def template(order: Order, role: str) -> Manifest:
    """The pod template of a role."""
    return {"metadata": {"labels": order.labels(role)}, "spec": _spec(order, role)}


def trains(order: Order, role: str) -> bool:
    """Whether ranks run in pods of this role."""
    return role == names.WORKER or order.workers == 0


def _spec(order: Order, role: str) -> Manifest:
    runtime = order.runtime
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": order.spec.checkpoint.grace_seconds + GRACE_MARGIN_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [*_patience(), *(t.dump() for t in runtime.pods.tolerations)],
        "containers": [_container(order, role)],
        "volumes": _volumes(order),
    }
    if runtime.service_account_name:
        spec["serviceAccountName"] = runtime.service_account_name
    if runtime.pods.node_selector:
        spec["nodeSelector"] = dict(runtime.pods.node_selector)
    return spec


def _patience() -> list[Manifest]:
    keys = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return [{"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_S} for key in keys]


def _container(order: Order, role: str) -> Manifest:
    head = role == names.HEAD
    ports = {"control": CONTROL_PORT, "metrics": METRICS_PORT} if head else {"agent": AGENT_PORT}
    return {
        "name": CONTAINER,
        "image": order.runtime.image,
        "imagePullPolicy": order.runtime.image_pull_policy,
        "command": list(SUPERVISOR_COMMAND if head else AGENT_COMMAND),
        "env": _environment(order, role),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "readinessProbe": {
            "httpGet": {"path": HEALTH_PATH, "port": CONTROL_PORT if head else AGENT_PORT},
            "periodSeconds": READY_PERIOD_S,
            "timeoutSeconds": READY_PERIOD_S,
            "failureThreshold": 3,
        },
        "resources": _resources(order, role),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(order),
    }


def _environment(order: Order, role: str) -> list[Manifest]:
    plain = {
        "HOME": "/tmp",
        "OMP_NUM_THREADS": str(_threads(order) if trains(order, role) else 1),
        "PYTHONUNBUFFERED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": f"{TOKENS_DIRECTORY}/{RAY_TOKEN}",
        "RAY_gcs_rpc_server_reconnect_timeout_s": RAY_RECONNECT_S,
        **{f"NCCL_{name}": value for name, value in order.runtime.pods.nccl.items()},
    }
    own = {NODE_ENV: "metadata.name", HOST_ENV: "spec.nodeName", POD_IP_ENV: "status.podIP"}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in own.items()),
    ]


def _threads(order: Order) -> int:
    """Threads of one rank: its share of the worker's CPUs."""
    cpus = order.spec.workers.cpus if order.spec.workers.cpus is not None else order.runtime.pods.cpus
    return max(1, int(quantity.parse(cpus) // order.plan.ranks_per_node))


def _resources(order: Order, role: str) -> Manifest:
    """Memory is what is asked for and no more; CPU may be borrowed while a neighbour leaves it."""
    pods, workers = order.runtime.pods, order.spec.workers
    cpus, memory = str(pods.head_cpus), pods.head_memory
    if trains(order, role):
        own = str(workers.cpus if workers.cpus is not None else pods.cpus), workers.memory or pods.memory
        both = role == names.HEAD
        cpus = quantity.total(cpus, own[0]) if both else own[0]
        memory = quantity.total_bytes(memory, own[1]) if both else own[1]
    devices: Manifest = {}
    if trains(order, role):
        devices = {name: str(count) for name, count in pods.devices.items()}
        devices |= {pods.gpu_resource: str(workers.gpus)} if workers.gpus else {}
    return {"requests": {"cpu": cpus, "memory": memory, **devices}, "limits": {"memory": memory, **devices}}


def _volumes(order: Order) -> list[Manifest]:
    tokens = names.tokens_secret(order.job, order.number, order.uid)
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": order.cluster}},
        {"name": "tokens", "secret": {"secretName": tokens, "defaultMode": SECRET_MODE}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": order.runtime.pods.shm}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}},
    ]
    secret = order.runtime.storage.secret_name
    if secret:
        volumes.append({"name": "storage", "secret": {"secretName": secret, "defaultMode": SECRET_MODE}})
    shared = [
        {"name": f"shared-{place}", "persistentVolumeClaim": {"claimName": volume.claim_name}}
        for place, volume in enumerate(order.runtime.pods.volumes)
    ]
    return [*volumes, *shared]


def _mounts(order: Order) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "config", "mountPath": CONFIG_FILE.rpartition("/")[0], "readOnly": True},
        {"name": "tokens", "mountPath": TOKENS_DIRECTORY, "readOnly": True},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if order.runtime.storage.secret_name:
        mounts.append({"name": "storage", "mountPath": STORAGE_DIRECTORY, "readOnly": True})
    shared = [
        {"name": f"shared-{place}", "mountPath": volume.mount_path, "readOnly": volume.read_only}
        for place, volume in enumerate(order.runtime.pods.volumes)
    ]
    return [*mounts, *shared]
