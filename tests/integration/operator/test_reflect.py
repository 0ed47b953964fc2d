"""Stores stay true through everything that a real API server and a real network do to a watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from kubernetes import client

from integration.operator.parts.clients import api_for
from integration.operator.parts.place import Place
from ultrathink_operator import kinds
from ultrathink_operator.client import Api
from ultrathink_operator.reflect import Expired, Reflector, Store

WAIT_S = 30.0
POLL_S = 0.05


@dataclass
class Kept:
    """A reflector of Services that can be stopped and started like a connection."""

    place: Place
    reflector: Reflector
    task: asyncio.Task[None] | None = None

    def names(self) -> list[str]:
        return sorted(view.meta.name for view in self.reflector.store.all())

    def start(self) -> None:
        self.task = asyncio.create_task(self.reflector.run())

    async def disconnect(self) -> None:
        if self.task:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task


@pytest.fixture
async def api(lonely: Place) -> AsyncIterator[Api]:
    made = await api_for(lonely.plane.kubeconfig)
    yield made
    await made.close()


@pytest.fixture
async def kept(lonely: Place, api: Api) -> AsyncIterator[Kept]:
    store = Store(kinds.WATCHED[kinds.SERVICE], lonely.namespace, lambda view: None)
    one = Kept(lonely, Reflector(api, store))
    one.start()
    yield one
    await one.disconnect()


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not what():
            await asyncio.sleep(POLL_S)


async def make(place: Place, name: str, **labels: str) -> None:
    labels = labels or {"ultrathink.io/job-uid": "u"}
    body = {"metadata": {"name": name, "labels": labels}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}}
    await asyncio.to_thread(place.core.create_namespaced_service, place.namespace, body)


async def remove(place: Place, name: str) -> None:
    await asyncio.to_thread(place.core.delete_namespaced_service, name, place.namespace)


async def test_what_was_there_and_what_comes_later_is_seen(kept: Kept) -> None:
    await make(kept.place, "a-1")
    await until(lambda: kept.names() == ["a-1"])
    await make(kept.place, "b-1")
    await until(lambda: kept.names() == ["a-1", "b-1"])
    await remove(kept.place, "a-1")
    await until(lambda: kept.names() == ["b-1"])


async def test_what_is_not_ours_never_arrives(kept: Kept) -> None:
    await make(kept.place, "foreign", app="other")
    await make(kept.place, "ours-1")
    await until(lambda: kept.names() == ["ours-1"])


async def test_what_is_deleted_while_nobody_listens_is_gone_afterwards(kept: Kept) -> None:
    await make(kept.place, "a-1")
    await until(lambda: kept.names() == ["a-1"])
    await kept.disconnect()
    await remove(kept.place, "a-1")
    await make(kept.place, "b-1")
    kept.start()
    await until(lambda: kept.names() == ["b-1"])


async def test_a_version_that_the_server_has_forgotten_leads_to_a_new_list(kept: Kept) -> None:
    await until(lambda: kept.reflector.store.synced)
    await kept.disconnect()
    await make(kept.place, "a-1")
    kept.reflector.go_on_from("1")
    kept.start()
    await until(lambda: kept.names() == ["a-1"])


async def test_an_event_that_the_watch_lost_is_found_by_the_audit(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultrathink_operator.reflect.AUDIT_PATIENCE_S", 0.2)
    await make(kept.place, "a-1")
    await until(lambda: kept.names() == ["a-1"])
    await kept.reflector.audit()
    await kept.disconnect()
    await make(kept.place, "b-1")
    with pytest.raises(Expired):
        await kept.reflector.audit()
    kept.start()
    await until(lambda: kept.names() == ["a-1", "b-1"])


async def test_a_kind_that_may_not_be_watched_is_told_and_cured_by_the_right(lonely: Place) -> None:
    user = f"stranger-{lonely.namespace}"
    api = await api_for(lonely.plane.kubeconfig_of_user(user))
    store = Store(kinds.WATCHED[kinds.SERVICE], lonely.namespace, lambda view: None)
    task = asyncio.create_task(Reflector(api, store).run())
    await until(lambda: store.trouble)
    assert store.trouble is not None
    assert store.trouble.reason == "OperatorMisconfigured"
    assert "services" in store.trouble.message and "list" in store.trouble.message
    assert not store.synced
    access = client.RbacAuthorizationV1Api(lonely.api)
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]}
    access.create_namespaced_role(lonely.namespace, {"metadata": {"name": "reader"}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    binding = {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [{"kind": "User", "name": user}]}
    access.create_namespaced_role_binding(lonely.namespace, binding)
    await until(lambda: store.synced and store.trouble is None)
    task.cancel()
    await api.close()


async def test_a_kind_that_is_not_served_is_a_missing_dependency(lonely: Place, api: Api) -> None:
    missing = replace(kinds.WATCHED[kinds.SERVICE], resource=kinds.Resource("nowhere.example/v1", "Thing", "things"))
    store = Store(missing, lonely.namespace, lambda view: None)
    task = asyncio.create_task(Reflector(api, store).run())
    await until(lambda: store.trouble)
    assert store.trouble is not None and store.trouble.reason == "DependencyMissing"
    task.cancel()


async def test_many_objects_come_in_pages(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept.disconnect()
    for index in range(5):
        await make(kept.place, f"s-{index}")
    monkeypatch.setattr("ultrathink_operator.reflect.PAGE", 2)
    kept.reflector.go_on_from("")
    kept.start()
    await until(lambda: len(kept.names()) == 5)


async def test_an_api_server_that_goes_away_is_waited_for(lonely: Place) -> None:
    """A proxy that is closed and opened again stands for a server that restarts."""
    port, server = await relay_to(lonely.plane.server)
    store = Store(kinds.WATCHED[kinds.SERVICE], lonely.namespace, lambda view: None)
    relayed = await api_for(lonely.plane.kubeconfig, f"https://127.0.0.1:{port}")
    task = asyncio.create_task(Reflector(relayed, store).run())
    await until(lambda: store.synced)
    server.cut()
    await make(lonely, "meanwhile-1")
    await server.open()
    await until(lambda: [v.meta.name for v in store.all()] == ["meanwhile-1"])
    task.cancel()
    server.cut()
    await relayed.close()


class Relay:
    """Passes bytes on until it is cut."""

    def __init__(self, target: tuple[str, int], port: int) -> None:
        self._target, self.port = target, port
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(*self._target)
        self._writers += [writer, outer]
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pump(reader, outer), self._pump(inner, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


async def relay_to(server: str) -> tuple[int, Relay]:
    host, _, port = server.removeprefix("https://").partition(":")
    relay = Relay((host, int(port)), 0)
    await relay.open()
    return relay.port, relay
