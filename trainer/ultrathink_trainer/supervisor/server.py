"""`/v1` with its bearer token, and `/metrics` on a port of its own: thin threads over a service that never blocks."""

import hmac
import json
import select
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from pydantic import ValidationError

from ultrathink_api import protocol
from ultrathink_api.protocol import (
    Body,
    Command,
    Info,
    Member,
    Outcome,
    Progress,
    RestartRequest,
    SpecChange,
    SpecReply,
    StopRequest,
    StopView,
)

MOST_BYTES = 4 << 20
"""A worker's events of some seconds, and any spec, are far smaller."""
IDLE_SECONDS = 120.0
"""A kept connection on which nothing is asked is closed."""


class Service(Protocol):
    """What the supervisor answers; each call returns at once, but for `attempt`, which waits as asked."""

    def info(self) -> Info: ...
    def progress(self) -> Progress: ...
    def outcome(self) -> Outcome: ...
    def change(self, body: SpecChange) -> SpecReply: ...
    def stop(self, body: StopRequest) -> StopView: ...
    def restart(self, body: RestartRequest) -> Info: ...
    def attempt(self, body: Member, connected: Callable[[], bool]) -> Command: ...


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Polls are no news."""

    def answer(self, status: int, data: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: HTTPStatus, message: str) -> None:
        # What was sent after the headers is unread: the connection can not be used again.
        self.close_connection = True
        self.answer(status, json.dumps({"error": message}).encode())

    def connected(self) -> bool:
        """Whether the other side still waits: it sends nothing until we answer, so readable means closed."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return True
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except ConnectionError:
            return False


def _control_handler(service: Service, token: str) -> type[_Handler]:
    expected = protocol.bearer(token).encode()
    getters: dict[str, Callable[[], Body]] = {
        protocol.INFO_PATH: service.info,
        protocol.PROGRESS_PATH: service.progress,
        protocol.OUTCOME_PATH: service.outcome,
    }
    setters: dict[str, tuple[type[Body], Callable[[Any], Body]]] = {
        protocol.SPEC_PATH: (SpecChange, service.change),
        protocol.STOP_PATH: (StopRequest, service.stop),
        protocol.RESTART_PATH: (RestartRequest, service.restart),
    }

    class Control(_Handler):
        def do_GET(self) -> None:
            if self.path == protocol.HEALTH_PATH:  # kubelet has no token, and learns no more than that we serve
                self.answer(HTTPStatus.OK, b"{}")
                return
            getter = getters.get(self.path)
            if not self._admitted():
                return
            if getter is None:
                self.refuse(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
                return
            self._send(getter())

        def do_POST(self) -> None:
            if not self._admitted():
                return
            length = int(self.headers.get("Content-Length") or 0)
            if length > MOST_BYTES:
                self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes are more than a request can have")
                return
            data = self.rfile.read(length)
            try:
                if self.path == protocol.ATTEMPT_PATH:
                    self._send(service.attempt(Member.model_validate_json(data), self.connected))
                elif self.path in setters:
                    kind, setter = setters[self.path]
                    self._send(setter(kind.model_validate_json(data)))
                else:
                    self.refuse(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                self.refuse(HTTPStatus.BAD_REQUEST, f"{where}: {first['msg']}")

        def _admitted(self) -> bool:
            given = (self.headers.get("Authorization") or "").encode()
            if hmac.compare_digest(given, expected):
                return True
            self.refuse(HTTPStatus.UNAUTHORIZED, "the bearer token is missing or wrong")
            return False

        def _send(self, body: Body) -> None:
            self.answer(HTTPStatus.OK, body.model_dump_json(by_alias=True, exclude_none=True).encode())

    return Control


def _metrics_handler(exposition: Callable[[], bytes], kind: str) -> type[_Handler]:
    class Metrics(_Handler):
        def do_GET(self) -> None:
            if self.path != protocol.METRICS_PATH:
                self.refuse(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
                return
            self.answer(HTTPStatus.OK, exposition(), kind)

    return Metrics


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in mid-answer is no news; it asks again."""


def serve_control(service: Service, token: str, host: str, port: int) -> int:
    """Serves `/v1` from now on; the port."""
    return _serve(_control_handler(service, token), host, port)


def serve_metrics(exposition: Callable[[], bytes], kind: str, host: str, port: int) -> int:
    """Serves `/metrics` from now on; the port."""
    return _serve(_metrics_handler(exposition, kind), host, port)


def _serve(handler: type[_Handler], host: str, port: int) -> int:
    server = _Server((host, port), handler)
    threading.Thread(target=server.serve_forever, name=f"http-{server.server_port}", daemon=True).start()
    return server.server_port
