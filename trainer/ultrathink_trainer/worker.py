"""What runs in a Ray Train worker: it speaks for its node. Orders of the supervisor in, events of the agent out."""

import contextlib
import os
import select
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ultrathink_api import protocol
from ultrathink_api.protocol import Command, Member
from ultrathink_trainer.runtime.client import Client, Unreachable, read_token
from ultrathink_trainer.runtime.node import node_name, socket_path
from ultrathink_trainer.runtime.wire import Link

POLL_SECONDS = 20.0
ANSWER_SECONDS = 10.0
AGAIN_SECONDS = 0.3
LOOK_SECONDS = 0.5


class Regroup(Exception):
    """Ends this worker with an error, so that Ray Train makes a new group."""


@dataclass(frozen=True)
class Settings:
    """What the driver gives each worker: Ray Train carries it as a plain dict."""

    host: str
    port: int
    tokens: str
    directory: str

    def client(self, timeout: float) -> Client:
        return Client(self.host, self.port, read_token(self.tokens, protocol.CONTROL_TOKEN), timeout=timeout)


@dataclass
class _Shared:
    """Between the two threads: one asks for orders, one listens to the agent."""

    worker: str
    node: str
    host: str = field(default_factory=lambda: os.environ.get(protocol.HOST_ENV, ""))
    lock: threading.Lock = field(default_factory=threading.Lock)
    agent: str = ""
    ready: bool = False
    link: Link | None = None
    over: str = ""
    """end or regroup, once told."""

    def member(self, **more: Any) -> Member:
        with self.lock:
            state = {"agent": self.agent, "ready": self.ready}
            return Member(node=self.node, worker=self.worker, host=self.host, **state, **more)


def relay(raw: dict[str, Any]) -> None:
    """Until the job is over, or this group of workers is."""
    settings = Settings(**raw)
    shared = _Shared(uuid.uuid4().hex, node_name())
    threading.Thread(target=_fetch_orders, args=(settings, shared), name="orders", daemon=True).start()
    client = settings.client(ANSWER_SECONDS)
    while not shared.over:
        link = _connect(socket_path(settings.directory, shared.node), shared)
        if link is not None:
            _listen(link, client, shared)
    if shared.over == "regroup":
        raise Regroup("the supervisor asked for new workers")


def _connect(path: str, shared: _Shared) -> Link | None:
    while not shared.over:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            time.sleep(AGAIN_SECONDS)
            continue
        return Link(connection)
    return None


def _listen(link: Link, client: Client, shared: _Shared) -> None:
    """Carry what the agent says until it is gone."""
    while not shared.over:
        readable, _, _ = select.select([link], [], [], LOOK_SECONDS)
        if not readable:
            continue
        messages = link.receive()
        if messages is None:
            break
        events = tuple(message["event"] for message in messages if message["say"] == "event")
        for message in messages:
            if message["say"] == "hello":
                with shared.lock:
                    shared.agent, shared.ready, shared.link = message["agent"], False, link
                    shared.node = message["node"]
        if events:
            # Before the state below: what happened before a node was ready is known before it is.
            command = _post(client, shared, events)
            if command is not None:
                link.send({"do": "ack", "seq": command.acked})
        states = [message["ready"] for message in messages if message["say"] == "state"]
        if states:
            with shared.lock:
                shared.ready = states[-1]
            _post(client, shared, ())
    with shared.lock:
        shared.agent, shared.ready, shared.link = "", False, None
    link.close()
    if not shared.over:
        _post(client, shared, ())


def _post(client: Client, shared: _Shared, events: tuple[dict[str, Any], ...]) -> Command | None:
    """Say it until it is heard: Ray ends this process when the head is really gone."""
    while not shared.over:
        try:
            return Command.model_validate(client.post(protocol.ATTEMPT_PATH, shared.member(events=events)))
        except Unreachable:
            time.sleep(AGAIN_SECONDS)
    return None


def _fetch_orders(settings: Settings, shared: _Shared) -> None:
    client = settings.client(POLL_SECONDS + ANSWER_SECONDS)
    order = -1
    while not shared.over:
        try:
            member = shared.member(order=order, wait_seconds=POLL_SECONDS)
            command = Command.model_validate(client.post(protocol.ATTEMPT_PATH, member))
        except Unreachable:
            time.sleep(AGAIN_SECONDS)
            continue
        if command.order == order:
            continue
        order = command.order
        _carry_out(command, shared)


def _carry_out(command: Command, shared: _Shared) -> None:
    if command.do in ("end", "regroup"):
        shared.over = command.do
        return
    with shared.lock:
        link = shared.link
    if link is None or command.do == "wait":
        return  # with its agent gone, an order is void: the supervisor hears of that and gives another
    message: dict[str, Any] = {"do": command.do, "epoch": command.epoch}
    if command.do == "start":
        message |= {"firstRank": command.first_rank, "chaos": list(command.chaos), "start": command.start}
    else:
        message["save"] = command.save
    with contextlib.suppress(OSError):
        link.send(message)
