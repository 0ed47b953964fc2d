"""Puts our CustomResourceDefinitions into a cluster and waits until it serves them."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SERVED_S = 30.0


def install(api: "ApiClient", definitions: list[dict[str, Any]]) -> None:
    """Create what is not there yet; returns when all are established."""
    from kubernetes import client

    extensions = client.ApiextensionsV1Api(api)
    for definition in definitions:
        try:
            extensions.create_custom_resource_definition(definition)
        except client.ApiException as error:
            if error.status != 409:
                raise
    deadline = time.monotonic() + SERVED_S
    for definition in definitions:
        name = definition["metadata"]["name"]
        while not _established(extensions.read_custom_resource_definition(name)):
            assert time.monotonic() < deadline, f"{name} is not served after {SERVED_S:.0f} s"
            time.sleep(0.05)


def _established(definition: Any) -> bool:
    conditions = definition.status.conditions or []
    return any(c.type == "Established" and c.status == "True" for c in conditions)
