"""Puts our CustomResourceDefinitions into a cluster and waits until it serves them."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SERVED_S = 30.0


def install(api: "ApiClient", definitions: list[dict[str, Any]]) -> None:
    """Create what is not there yet; returns when all are established and can be listed."""
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
        while not _listed(client.CustomObjectsApi(api), definition["spec"]):
            assert time.monotonic() < deadline, f"{name} cannot be listed after {SERVED_S:.0f} s"
            time.sleep(0.05)


def _listed(objects: Any, spec: dict[str, Any]) -> bool:
    """An established kind is not served at once."""
    from kubernetes.client.exceptions import ApiException

    try:
        objects.list_cluster_custom_object(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"])
    except ApiException:
        return False
    return True


def _established(definition: Any) -> bool:
    conditions = definition.status.conditions or []
    return any(c.type == "Established" and c.status == "True" for c in conditions)
