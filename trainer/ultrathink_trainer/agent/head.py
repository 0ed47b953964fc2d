"""Watching the head from a worker: which incarnation of the supervisor there is, and whether its Ray answers."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ultrathink_api import protocol
from ultrathink_api.protocol import Info, RunConfig, StopRequest
from ultrathink_trainer.runtime import raynode
from ultrathink_trainer.runtime.client import Client, Unreachable, read_token

WATCH_SECONDS = 2.0
ASK_SECONDS = 2.0


@dataclass(frozen=True)
class Head:
    """What was seen of the head."""

    incarnation: str
    ray: bool


def client(config: RunConfig, *, timeout: float = ASK_SECONDS) -> Client:
    """A connection to the supervisor."""
    token = read_token(config.tokens, protocol.CONTROL_TOKEN)
    return Client(config.head, config.ports.control, token, timeout=timeout)


def watch(config: RunConfig, tell: Callable[[Head], None]) -> None:
    """Look at the head for ever, on a thread of its own."""

    def look() -> None:
        asked = client(config)
        while True:
            try:
                info = Info.model_validate(asked.get(protocol.INFO_PATH))
                tell(Head(info.incarnation, raynode.answers(config)))
            except Unreachable:
                pass  # a head that is away comes back as another incarnation, or as the same
            time.sleep(WATCH_SECONDS)

    threading.Thread(target=look, name="head", daemon=True).start()


def say_stop(config: RunConfig, request: StopRequest, failed: Callable[[], None]) -> None:
    """Tell the supervisor that this node goes away; `failed` is called where it can not be told."""

    def say() -> None:
        try:
            client(config).post(protocol.STOP_PATH, request)
        except Unreachable:
            failed()

    threading.Thread(target=say, name="stop", daemon=True).start()
