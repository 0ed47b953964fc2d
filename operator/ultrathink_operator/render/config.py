"""What a cluster's first processes read: the ConfigMap with plan and spec, and the Secret with derived tokens."""

import base64

from ultrathink_api import names
from ultrathink_api.protocol import (
    CONFIG_FILE,
    CONTROL_TOKEN,
    RAY_TOKEN,
    STORAGE_DIRECTORY,
    RayNode,
    RunConfig,
    Storage,
    token,
)
from ultrathink_operator.render import quantity
from ultrathink_operator.render.order import Manifest, Order, owner_reference

OBJECT_STORE_SHARE = 4
"""Ray passes us nothing large: a quarter of /dev/shm is plenty, the rest is gloo's, NCCL's and the copies of state."""
LEAST_OBJECT_STORE = 80 * 2**20
"""Ray refuses to start below 75 MiB."""


def run_config(order: Order) -> RunConfig:
    """All that supervisor and agents know when they start."""
    storage = order.runtime.storage
    place = order.spec.checkpoint.uri or storage.uri
    assert place is not None, "admission refuses a job without a place for checkpoints"
    share = int(quantity.parse(order.runtime.pods.shm) // OBJECT_STORE_SHARE)
    return RunConfig(
        job=order.job,
        namespace=order.namespace,
        uid=order.uid,
        generation=order.generation,
        cluster=order.number,
        agent_in_head=order.workers == 0,
        nodes=order.plan.nodes,
        ranks_per_node=order.plan.ranks_per_node,
        gpus_per_node=order.spec.workers.gpus,
        head=names.head_address(order.job, order.number, order.namespace),
        storage=Storage(
            uri=place,
            endpoint=storage.endpoint,
            region=storage.region,
            addressing=storage.addressing,
            credentials=STORAGE_DIRECTORY if storage.secret_name else None,
        ),
        resume=order.spec.resume.from_,
        ray=RayNode(object_store_bytes=max(LEAST_OBJECT_STORE, share)),
        spec=order.spec,
        plan=order.plan.dump(),
        image=order.runtime.image or "",
        submitter=order.submitter,
    )


def config_map(order: Order) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": order.metadata(order.cluster),
        "data": {CONFIG_FILE.rpartition("/")[2]: run_config(order).model_dump_json(by_alias=True, exclude_none=True)},
    }


def tokens_secret(job: str, namespace: str, uid: str, number: int, key: bytes) -> Manifest:
    """Made again from the key whenever it is needed, so nobody ever has to read it back."""
    data = {use: token(key, uid, use) for use in (CONTROL_TOKEN, RAY_TOKEN)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {
            "name": names.tokens_secret(job, number, uid),
            "namespace": namespace,
            "labels": names.labels(job, uid, number),
            "ownerReferences": [owner_reference(job, uid)],
        },
        "data": {use: base64.b64encode(value.encode()).decode() for use, value in data.items()},
    }
