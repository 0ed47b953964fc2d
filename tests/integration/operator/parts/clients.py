"""The operator's own client, made inside the test's process."""

from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from ultrathink_operator.client import Api
from ultrathink_operator.clock import ServerClock
from ultrathink_operator.limits import Limiter


async def configuration_of(kubeconfig: Path, server: str | None = None) -> Configuration:
    """Of the server that the kubeconfig names, or of one that stands before it."""
    made: Any = type.__call__(Configuration)
    loading: Any = config
    await loading.load_kube_config(str(kubeconfig), client_configuration=made, persist_config=False)
    made.host = server or made.host
    found: Configuration = made
    return found


async def api_for(kubeconfig: Path, server: str | None = None) -> Api:
    made = await configuration_of(kubeconfig, server)
    return Api(made, Limiter(1000, 1000), ServerClock(), _uncounted)


def _uncounted(method: str, code: str, seconds: float) -> None:
    """Tests count otherwise."""
