"""Orders for clusters, as admission would give them."""

from dataclasses import replace
from typing import Any

from ultrathink_api.runtime import RuntimeSpec
from ultrathink_operator.policies.admission import admit
from ultrathink_operator.render.order import Order
from unit.operator.parts.cluster import SPEC, Cluster

RUNTIME = {"image": "registry.example/trainer:1", "storage": {"uri": "s3://runs"}}


def order(runtime: dict[str, Any] | None = None, **spec: Any) -> Order:
    cluster = Cluster(spec={**SPEC, **spec})
    defaults = RuntimeSpec.model_validate({**RUNTIME, **(runtime or {})})
    cluster.house = replace(cluster.house, defaults=defaults)
    admitted, finding = admit(cluster.seen())
    assert admitted is not None, finding
    return admitted.order(cluster.seen(), 1)
