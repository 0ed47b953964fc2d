"""Requests to the API server: JSON in and out, limited, timed out, counted; errors as one type."""

import asyncio
import copy
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from pydantic_core import from_json

from ultrathink_operator.clock import ServerClock
from ultrathink_operator.limits import Limiter

REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
WATCH_SILENCE_S = 70.0
"""The API server sends a bookmark about every minute; a watch silent for longer hangs on a dead connection."""
RETRY_AFTER_S = 1.0
"""For a server that says 429 and not for how long."""
UNLIMITED = 0
"""As aiohttp says it; what bounds the requests is the limiter."""
APPLY = "application/apply-patch+yaml"

Json = dict[str, Any]
Counter = Callable[[str, str, float], None]


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class Api:
    """A thin layer over the official client, which brings TLS and login."""

    def __init__(self, configuration: Configuration, limiter: Limiter, clock: ServerClock, count: Counter) -> None:
        # Each kind of each namespace holds a connection for its watch: a pool with an end would starve the writes.
        configuration.connection_pool_maxsize = UNLIMITED
        # Told once: aiohttp would ask a thread for the proxy, and another for ~/.netrc, before each request.
        configuration.proxy = configuration.proxy or _proxy(configuration.host)
        configuration.client_session_kwargs = {"trust_env": False}
        self._client: Any = ApiClient(configuration)
        self._limiter, self._clock, self._count = limiter, clock, count

    async def close(self) -> None:
        await self._client.close()

    def beside(self, rate: float) -> Self:
        """The same connections for requests that do not wait in line with the others."""
        made = copy.copy(self)
        made._limiter = Limiter(rate, rate, beside=self._limiter)
        return made

    async def get(self, path: str, *, accept: str = "application/json", **query: str | int) -> Json:
        return await self._json("GET", path, query, accept=accept)

    async def create(self, path: str, manifest: Mapping[str, Any], manager: str) -> Json:
        return await self._json("POST", path, {"fieldManager": manager}, manifest)

    async def replace(self, path: str, manifest: Mapping[str, Any]) -> Json:
        return await self._json("PUT", path, {}, manifest)

    async def apply(self, path: str, manifest: Mapping[str, Any], manager: str) -> Json:
        """Server-side apply. It is an upsert: the manifest must say the uid of what it means."""
        assert manifest["metadata"].get("uid"), "apply without uid would adopt"
        return await self._json("PATCH", path, {"fieldManager": manager, "force": "true"}, manifest, content=APPLY)

    async def delete(self, path: str, **options: Any) -> Json:
        assert options["preconditions"].get("uid"), "delete without uid may hit another of the same name"
        return await self._json("DELETE", path, {}, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def ready(self) -> bool:
        """Whether the API server calls itself ready."""
        try:
            response = await self._send("GET", "/readyz", {}, None, "text/plain", "", REQUEST_TIMEOUT_S)
            return bool(response.status == 200)
        except (aiohttp.ClientError, TimeoutError, OSError, ApiError):
            return False

    async def watch(self, path: str, version: str, timeout_s: int, selector: str) -> AsyncIterator[Json]:
        """Events from `version` on, bookmarks among them, until the server ends the stream."""
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": timeout_s,
        }
        if selector:
            query["labelSelector"] = selector
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=WATCH_SILENCE_S)
        response = await self._send("GET", path, query, None, "application/json", "", timeout)
        try:
            async for line in _lines(response.response.content):
                yield _parsed(line)
        finally:
            response.response.close()

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        content: str = "application/json",
    ) -> Json:
        response = await self._send(method, path, query, body, accept, content, REQUEST_TIMEOUT_S)
        return _parsed(await response.read())

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
        accept: str,
        content: str,
        timeout: float | aiohttp.ClientTimeout,
    ) -> Any:
        await self._limiter.wait()
        headers = {"Accept": accept, **({"Content-Type": content} if content else {})}
        address = f"{path}?{urlencode(query)}" if query else path
        method, url, headers, _, _ = await self._client.param_serialize(
            method, address, header_params=headers, auth_settings=["BearerToken"]
        )
        started, code = time.monotonic(), "error"
        limit = timeout if isinstance(timeout, aiohttp.ClientTimeout) else aiohttp.ClientTimeout(total=timeout)
        try:
            response = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=limit
            )
            code = str(response.status)
            self._clock.heard(response.headers.get("Date"))
            if response.status >= 400:
                raise await self._refusal(response)
            return response
        finally:
            self._count(method, code, time.monotonic() - started)

    async def _refusal(self, response: Any) -> ApiError:
        text = await response.read()
        wait = response.headers.get("Retry-After", "")
        if response.status == 429:
            self._limiter.pause(float(wait) if wait.isdecimal() else RETRY_AFTER_S)
        return _error(response.status, text)


def _parsed(text: bytes) -> Json:
    """Keys and short values that repeat are one string each: most of what is stored says the same."""
    found: Json = from_json(text, cache_strings="all")
    return found


def _proxy(address: str) -> str | None:
    """As the environment names it for the API server."""
    parts = urlsplit(address)
    if urllib.request.proxy_bypass_environment(parts.netloc):
        return None
    return urllib.request.getproxies_environment().get(parts.scheme)


def _error(status: int, text: bytes) -> ApiError:
    try:
        told = json.loads(text)
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    return ApiError(status, told.get("reason") or "", told.get("message") or text.decode(errors="replace")[:500])


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: the reader's own limit is below that of an object."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


UNREACHABLE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What it looks like when the API server is away: never a reason to decide anything."""
