"""The only file that imports kopf: the frame that logs in, starts, probes and stops the operator."""

import asyncio
import logging
import os
from typing import Any

import kopf
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from ultrathink_operator.operating import Operator
from ultrathink_operator.settings import Settings

log = logging.getLogger(__name__)


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

    @kopf.on.startup(registry=handlers)
    async def start(settings_of_kopf: Any = None, **_: Any) -> None:
        operator = Operator(await configuration(), settings)
        running.append(operator)
        await operator.start()

    @kopf.on.cleanup(registry=handlers)
    async def stop(**_: Any) -> None:
        for operator in running:
            await operator.stop()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        made = await configuration()
        return kopf.ConnectionInfo(server=made.host, ca_path=made.ssl_ca_cert)

    @kopf.on.probe(registry=handlers, id="alive")
    async def alive(**_: Any) -> bool:
        for operator in running:
            await operator.check_alive()
        return True

    return handlers


def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    frame = kopf.OperatorSettings()
    frame.scanning.disabled = True
    frame.posting.enabled = False
    asyncio.run(
        kopf.operator(
            registry=registry(settings),
            settings=frame,
            standalone=True,
            namespaces=[settings.namespace],
            liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
        )
    )
