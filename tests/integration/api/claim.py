"""What the pods of a job are allowed to be: the template of the smallest job, but for what a spec may say of size."""

import re
from collections.abc import Iterator
from typing import Any

from ultrathink_api.job import JobSpec
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_operator.observe import House
from ultrathink_operator.render.cluster import objects
from ultrathink_operator.render.order import Order
from ultrathink_planner import Plan

JOB, NAMESPACE, UID = "vector", "team", "0b5f3c1e-9a51-4c1e-8f7e-0d9b6f6f2a11"
RUNTIME = RuntimeSpec.model_validate(
    {
        "image": "registry.example/trainer:1",
        "serviceAccountName": "jobs",
        "storage": {"uri": "s3://r", "secretName": "s"},
    }
)
KINDS = {"StatefulSet", "Service", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget"}
SIZE = re.compile(
    r"^spec\.replicas$"
    r"|^spec\.template\.spec\.terminationGracePeriodSeconds$"
    r"|^spec\.template\.spec\.containers\.0\.resources\.(requests|limits)\.(cpu|memory|nvidia\.com/gpu)$"
    r"|^spec\.template\.spec\.containers\.0\.env\.\d+\.value$"
    r"|^metadata\.annotations\.ultrathink\.io/(digest|workers)$"
)
"""Where a set may differ from another job's: how many, how large, how long, how many threads."""
THREADS = "OMP_NUM_THREADS"


def made(spec: JobSpec, plan: Plan) -> dict[str, dict[str, Any]]:
    """All that the operator makes of a job, but its Secret, by kind and name."""
    order = Order(
        job=JOB,
        uid=UID,
        namespace=NAMESPACE,
        generation=1,
        number=1,
        spec=spec,
        plan=plan,
        runtime=RUNTIME,
        house=House("system", RUNTIME),
    )
    return {f"{one['kind']}/{one['metadata']['name']}": dict(one) for one in objects(order)}


def beyond(found: dict[str, dict[str, Any]], allowed: dict[str, dict[str, Any]]) -> list[str]:
    """Where `found` is more than the claim; `allowed` is what is made of the smallest job."""
    told = [f"{key}: not a kind of ours" for key, one in found.items() if one["kind"] not in KINDS]
    for key, one in found.items():
        if one["metadata"]["namespace"] != NAMESPACE:
            told.append(f"{key}: namespace {one['metadata']['namespace']}")
        if one["kind"] == "StatefulSet":
            told += [f"{key}: {path}" for path in _differences(one, allowed[key], "") if not _is_size(path, one)]
        if one["kind"] == "Service" and one["spec"].get("type", "ClusterIP") != "ClusterIP":
            told.append(f"{key}: {one['spec']['type']}")
    return told


def _is_size(path: str, found: dict[str, Any]) -> bool:
    if not SIZE.match(path):
        return False
    variable = re.search(r"env\.(\d+)\.value$", path)
    environment = found["spec"]["template"]["spec"]["containers"][0]["env"]
    return variable is None or environment[int(variable[1])]["name"] == THREADS


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if key not in one or key not in other:
                yield f"{path}.{key}".lstrip(".")
            else:
                yield from _differences(one[key], other[key], f"{path}.{key}".lstrip("."))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, theirs, f"{path}.{index}")
    elif one != other:
        yield path
