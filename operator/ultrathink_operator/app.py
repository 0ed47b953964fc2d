"""The only file that imports kopf: the frame that starts, probes and stops the operator, and hears its signals.

Kopf itself asks the API server nothing. Its watch ends the process with the first 403 or 404 and forgets what it
missed, so reflect.py watches; its discovery at the start would be a crash loop while the API server is away, so it
is given no kinds to look for (the argument is public, its type is not).
"""

import asyncio
import os
from typing import Any

import kopf
from kopf._cogs.structs.references import Insights
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from ultrathink_operator import memory
from ultrathink_operator.operating import Operator
from ultrathink_operator.settings import Settings

AT_ONCE = kopf.ErrorsMode.PERMANENT
"""An error is an answer: Kopf would otherwise try again for ever, a minute apart, and look alive meanwhile."""


def knows_nothing() -> Insights:
    """No backbone resources: nothing to discover, nothing that could fail."""
    insights = Insights()
    insights.backbone.selectors = []
    return insights


async def configuration() -> Configuration:
    """How to reach the API server: the pod's own account, else the kubeconfig."""
    made: Configuration = type.__call__(Configuration)
    loading: Any = config
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        loading.load_incluster_config(client_configuration=made)
    else:
        await loading.load_kube_config(client_configuration=made, persist_config=False)
    return made


def registry(settings: Settings) -> kopf.OperatorRegistry:
    """Kopf's activities. It watches nothing itself: its watch dies of a 403 and forgets what it missed."""
    handlers = kopf.OperatorRegistry()
    running: list[Operator] = []

    @kopf.on.startup(registry=handlers, errors=AT_ONCE)
    async def start(**_: Any) -> None:
        operator = Operator(await configuration(), settings)
        running.append(operator)
        await operator.start()

    @kopf.on.cleanup(registry=handlers, errors=AT_ONCE)
    async def stop(**_: Any) -> None:
        for operator in running:
            await operator.stop()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=(await configuration()).host)

    @kopf.on.probe(registry=handlers, id="alive", errors=AT_ONCE)
    async def alive(**_: Any) -> bool:
        for operator in running:
            await operator.check_alive()
        return True

    return handlers


def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    memory.prepare()
    frame = kopf.OperatorSettings()
    frame.scanning.disabled = True
    frame.posting.enabled = False
    await kopf.operator(
        registry=registry(settings),
        settings=frame,
        insights=knows_nothing(),
        standalone=True,
        namespaces=[settings.namespace],
        liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
    )
