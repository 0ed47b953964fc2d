"""The border between providers: an order goes in, the objects of a cluster come out, in the order of their making."""

from collections.abc import Callable

from ultrathink_operator.render import config, guard, native
from ultrathink_operator.render.order import Manifest, Order

Renderer = Callable[[Order], tuple[Manifest, ...]]


def _native(order: Order) -> tuple[Manifest, ...]:
    # The Service comes first and goes last: while it stands, something of the cluster may be left.
    around = (config.config_map(order), guard.network_policy(order), guard.disruption_budget(order))
    return (native.service(order), *around, *native.sets(order))


PROVIDERS: dict[str, Renderer] = {"native": _native}


def objects(order: Order) -> tuple[Manifest, ...]:
    """All objects of a cluster but the Secret, whose content no decision ever holds."""
    return PROVIDERS[order.runtime.cluster.provider](order)
