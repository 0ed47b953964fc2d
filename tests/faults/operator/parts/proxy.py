"""Stands between the operator and the API server: writes down every call, and spoils those that it is told to."""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

Json = dict[str, Any]
READS = frozenset({"GET", "HEAD"})
FORWARDED = ("Authorization", "Accept", "Content-Type", "User-Agent")
RELAYED = ("Content-Type", "Date", "Retry-After")


@dataclass
class Call:
    """One request of the operator, and what became of it."""

    at: float
    method: str
    path: str
    query: Mapping[str, str]
    body: Json | None
    plural: str
    name: str
    subresource: str
    status: int = 0
    answer: Json | None = None

    @property
    def watches(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def mutates(self) -> bool:
        """Renewals of the Lease are left out: their number is a matter of time."""
        return self.method not in READS and not (self.plural == "leases" and self.method == "PUT")

    @property
    def lists(self) -> bool:
        return self.method == "GET" and not self.name and bool(self.plural) and not self.watches

    def __str__(self) -> str:
        return " ".join(filter(None, [self.method, self.plural or self.path, self.name, self.subresource]))


@dataclass(frozen=True)
class Kill:
    """The operator dies here: before the server has heard the call, or before the operator hears the answer."""

    when: Literal["before", "after"]


@dataclass(frozen=True)
class Drop:
    """The connection breaks: before the server has heard the call, or after."""

    when: Literal["before", "after"] = "before"


@dataclass(frozen=True)
class Delay:
    """The call takes longer."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """The server's word, made up."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hold:
    """The call waits for the test."""

    released: asyncio.Event


Fault = Kill | Drop | Delay | Answer | Hold


@dataclass
class Rule:
    """A fault for some of the calls that match: `skip` go through first, then `times` are hit (0: all)."""

    matches: Callable[[Call], bool]
    fault: Fault
    skip: int = 0
    times: int = 1
    hits: int = 0

    def takes(self, call: Call) -> bool:
        if (self.times and self.hits >= self.times) or not self.matches(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return True


@dataclass
class EventRule:
    """What happens to events of watches: lost, late, or the stream falls silent, breaks, or expires with them.

    `travel`: from here on the operator is shown the world as it was; killed, it starts again in that old world.
    """

    matches: Callable[[str, Json], bool]
    effect: Literal["lose", "delay", "silence", "break", "expire", "travel"]
    seconds: float = 0.0
    times: int = 1
    hits: int = 0

    def takes(self, plural: str, event: Json) -> bool:
        if (self.times and self.hits >= self.times) or not self.matches(plural, event):
            return False
        self.hits += 1
        return True


@dataclass
class View:
    """What the operator was shown of one collection."""

    answer: Json
    items: dict[str, Json]

    def take(self, event: Json) -> None:
        one = event["object"]
        self.answer["metadata"]["resourceVersion"] = one["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self.items.pop(one["metadata"]["name"], None)
        elif event["type"] != "BOOKMARK":
            self.items[one["metadata"]["name"]] = one

    def listed(self) -> Json:
        return {**self.answer, "metadata": dict(self.answer["metadata"]), "items": list(self.items.values())}


class Broken(Exception):
    """The connection to the operator is to be cut."""


class Proxy:
    """`async with Proxy(server, trust, kill) as proxy:` serves plain HTTP on loopback at `proxy.url`."""

    def __init__(self, server: str, trust: ssl.SSLContext, kill: Callable[[], Awaitable[None]]) -> None:
        self._server, self._trust, self._kill = server, trust, kill
        self.calls: list[Call] = []
        self.rules: list[Rule] = []
        self.events: list[EventRule] = []
        self.down = False
        self._open: set[asyncio.Transport] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._views: dict[str, View] = {}
        self._frozen: dict[str, Json] | None = None
        """Answers to lists as they were at some time; while it is set, watches are silent too."""
        self._thawed = asyncio.Event()
        self._travels: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._trust, limit=0)
        plain = {"Accept-Encoding": "identity"}
        self._session = aiohttp.ClientSession(self._server, connector=connector, headers=plain)
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._travels | self._serving:
            task.cancel()
        await self._session.close()
        await self._runner.cleanup()

    @property
    def mutations(self) -> list[Call]:
        return [call for call in self.calls if call.mutates]

    def go_down(self) -> None:
        """As if the API server were away: what is under way breaks, and nothing is answered until `come_back()`."""
        self.down = True
        for transport in self._open:
            transport.abort()

    def come_back(self) -> None:
        self.down = False

    def freeze(self) -> None:
        """From now on the operator is shown what it was shown last, whatever happens."""
        self._frozen = {key: view.listed() for key, view in self._views.items()}
        self._thawed = asyncio.Event()

    def thaw(self) -> None:
        self._frozen = None
        self._thawed.set()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if task := asyncio.current_task():
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        raw = await request.read()
        call = _call(request, raw)
        self.calls.append(call)
        if request.transport:
            self._open.add(request.transport)
        try:
            if self.down:
                raise Broken
            return await self._answer(request, call, raw)
        except (Broken, aiohttp.ClientError):
            if request.transport:
                request.transport.abort()
            return web.Response(status=502)
        finally:
            if request.transport:
                self._open.discard(request.transport)

    async def _answer(self, request: web.BaseRequest, call: Call, raw: bytes) -> web.StreamResponse:
        rule = next((rule for rule in self.rules if rule.takes(call)), None)
        fault = rule.fault if rule else None
        match fault:
            case Kill("before"):
                await self._kill()
                raise Broken
            case Drop("before"):
                raise Broken
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Hold(released):
                await released.wait()
            case Answer(status, reason, headers):
                call.status = status
                told = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": "made up"}
                return web.json_response(told, status=status, headers=dict(headers))
        if self._frozen is not None and (call.lists or call.watches):
            return await self._stale(request, call, raw)
        if call.watches:
            return await self._relay_watch(request, call)
        response = await self._forward(request, call, raw)
        if fault == Kill("after"):
            await self._kill()
            raise Broken
        if fault == Drop("after"):
            raise Broken
        return response

    async def _forward(self, request: web.BaseRequest, call: Call, raw: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        async with self._session.request(call.method, request.path_qs, data=raw or None, headers=headers) as answer:
            body = await answer.read()
            call.status = answer.status
            with suppress(ValueError):
                call.answer = json.loads(body)
            whole = "PartialObjectMetadata" not in headers.get("Accept", "")
            if call.lists and whole and call.status == 200 and call.answer:
                items = {one["metadata"]["name"]: one for one in call.answer["items"] or ()}
                self._views[_list_key(call)] = View(call.answer, items)
            kept = {name: answer.headers[name] for name in RELAYED if name in answer.headers}
            return web.Response(status=answer.status, body=body, headers=kept)

    async def _stale(self, request: web.BaseRequest, call: Call, raw: bytes) -> web.StreamResponse:
        known = (self._frozen or {}).get(_list_key(call))
        if call.lists and known:
            call.status = 200
            return web.json_response(known)
        if call.lists:
            return await self._forward(request, call, raw)
        await self._thawed.wait()
        return await self._relay_watch(request, call)

    async def _relay_watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(request.path_qs, headers=headers, timeout=timeout) as answer:
            call.status = answer.status
            kept = {name: answer.headers[name] for name in RELAYED if name in answer.headers}
            if answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
            stream = web.StreamResponse(headers=kept)
            await stream.prepare(request)
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    await self._relay_event(stream, call, line)
            return stream

    async def _relay_event(self, stream: web.StreamResponse, call: Call, line: bytes) -> None:
        event = json.loads(line)
        if self._frozen is not None:
            await self._thawed.wait()
        rule = next((rule for rule in self.events if rule.takes(call.plural, event)), None)
        match rule.effect if rule else None:
            case "lose":
                return
            case "delay":
                await asyncio.sleep(rule.seconds if rule else 0)
            case "silence":
                await asyncio.Event().wait()
            case "break":
                raise Broken
            case "travel":
                self.freeze()
                self._travels.add(asyncio.create_task(self._travel(rule.seconds if rule else 0)))
                await self._thawed.wait()
            case "expire":
                gone = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "made up"}
                await stream.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                raise Broken
        if call.plural and event["type"] != "ERROR" and (view := self._views.get(_list_key(call))):
            view.take(event)
        await stream.write(line + b"\n")

    async def _travel(self, seconds: float) -> None:
        """The world goes on for a while unseen; then a new operator looks at the old one."""
        await asyncio.sleep(seconds)
        await self._kill()
        await asyncio.sleep(2 * seconds)
        self.thaw()


def _call(request: web.BaseRequest, raw: bytes) -> Call:
    path, _, query = request.path_qs.partition("?")
    plural, name, subresource = _address(path)
    body = json.loads(raw) if raw else None
    return Call(time.monotonic(), request.method, path, dict(parse_qsl(query)), body, plural, name, subresource)


def _address(path: str) -> tuple[str, str, str]:
    parts = path.strip("/").split("/")
    if "namespaces" not in parts:
        return "", "", ""
    plural, name, subresource = [*parts[parts.index("namespaces") + 2 :], "", "", ""][:3]
    return plural, name, subresource


def _list_key(call: Call) -> str:
    return f"{call.path}?{call.query.get('labelSelector', '')}"
