"""The admin's own way to the API server, in plain JSON: it shares no code with the operator that it judges."""

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp

Json = dict[str, Any]
MERGE = "application/merge-patch+json"

KINDS = {
    "ultrathinkjobs": "/apis/ultrathink.io/v1alpha1",
    "statefulsets": "/apis/apps/v1",
    "services": "/api/v1",
    "pods": "/api/v1",
    "configmaps": "/api/v1",
    "secrets": "/api/v1",
    "events": "/api/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
}
"""What a job may leave in a namespace, and where it is served."""


class Refused(Exception):
    """The API server said no."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status


class Direct:
    """`async with Direct(kubeconfig) as api:` asks without a detour through the proxy."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        self.server: str = config["clusters"][0]["cluster"]["server"]
        self.trust = _trust(config["clusters"][0]["cluster"], config["users"][0]["user"])

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self.trust, limit=0)
        self._session = aiohttp.ClientSession(self.server, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Json:
        return await self._ask("GET", path, params=query)

    async def create(self, path: str, body: Json) -> Json:
        return await self._ask("POST", path, json=body)

    async def replace(self, path: str, body: Json) -> Json:
        return await self._ask("PUT", path, json=body)

    async def patch(self, path: str, body: Json) -> Json:
        return await self._ask("PATCH", path, data=json.dumps(body), headers={"Content-Type": MERGE})

    async def delete(self, path: str, body: Json | None = None) -> Json:
        return await self._ask("DELETE", path, json=body or {})

    async def watch(self, path: str, version: str) -> AsyncIterator[Json]:
        query = {"watch": "true", "resourceVersion": version}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params=query, timeout=timeout) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.text())
            rest = b""
            async for chunk in answer.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield json.loads(line)

    async def _ask(self, method: str, path: str, **options: Any) -> Json:
        async with self._session.request(method, path, **options) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.text())
            found: Json = await answer.json()
            return found


def path(namespace: str, plural: str, name: str = "", subresource: str = "") -> str:
    """Of a collection, or of one object in it."""
    return "/".join(filter(None, [f"{KINDS[plural]}/namespaces/{namespace}/{plural}", name, subresource]))


def _trust(cluster: Json, user: Json) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.TemporaryDirectory() as folder:
        pair = [Path(folder) / name for name in ("client-certificate-data", "client-key-data")]
        for file in pair:
            file.write_bytes(base64.b64decode(user[file.name]))
        context.load_cert_chain(*pair)
    return context
