"""A way to an S3 server that breaks when it is told to: `python -m testbed.s3proxy UPSTREAM PORT FOLDER`.

What to do to requests stands in FOLDER/fault, as JSON, and may change at any time; FOLDER/writes counts those that
change something. Signatures stay valid: the Host that the client signed is passed on.
"""

import http.client
import json
import socket
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from testbed.child import Child, free_port, listens

READY_S = 30.0
WRITES = ("PUT", "POST", "DELETE")
ANSWERS = {
    "slowDown": (503, "SlowDown", "Reduce your request rate."),
    "full": (403, "QuotaExceeded", "The quota of the bucket is spent."),
    "denied": (403, "ExpiredToken", "The provided token has expired."),
}
"""fault -> what a real server would answer."""


class S3Proxy:
    """The proxy as a process of its own, with its switch."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._folder = Path(tempfile.mkdtemp(prefix="utk-s3proxy-"))

    def __enter__(self) -> Self:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.heal()
        command = [sys.executable, "-m", "testbed.s3proxy", self._upstream, str(port), str(self._folder)]
        here = str(Path(__file__).parents[1])
        self._child = Child(command, log=self._folder / "log", env={"PYTHONPATH": here})
        self._child.wait_until(lambda: listens("127.0.0.1", port), READY_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()

    def fail(self, kind: str, **more: Any) -> None:
        """slowDown, full, denied; cut: the connection breaks in mid-request; slow: `seconds` before each write;
        hold: the write number `at` is held for ever, `before` it reaches the server or `after`."""
        new = self._folder / "fault.new"
        new.write_text(json.dumps({"kind": kind, **more}))
        new.replace(self._folder / "fault")

    def heal(self) -> None:
        self.fail("none")

    @property
    def held(self) -> bool:
        """Whether a write is being held."""
        return (self._folder / "held").exists()

    @property
    def writes(self) -> int:
        """Writes since the fault began that counts them."""
        return int((self._folder / "writes").read_text()) if (self._folder / "writes").exists() else 0


class Handler(BaseHTTPRequestHandler):
    """One connection a request, so that a name is looked up for each."""

    protocol_version = "HTTP/1.1"
    upstream = ""
    folder = Path()
    lock = threading.Lock()
    counted: tuple[str, int] = ("", 0)

    def _pass_on(self) -> None:
        self.close_connection = True
        text = (self.folder / "fault").read_text()
        fault = json.loads(text)
        writes = self.command in WRITES
        number = self._count(text) if writes else 0
        if fault["kind"] in ANSWERS and (writes or fault["kind"] != "full"):
            self._body()
            self._answer(*ANSWERS[fault["kind"]])
            return
        if fault["kind"] == "cut" and writes:
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self._body()
        if fault["kind"] == "slow" and writes:
            time.sleep(fault["seconds"])
        held = fault["kind"] == "hold" and number == fault["at"]
        if held and fault["when"] == "before":
            self._hold()
        answer, data = self._ask(body)
        if held:
            self._hold()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        where = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect"):
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def _answer(self, status: int, code: str, message: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _count(self, fault: str) -> int:
        with Handler.lock:
            known, number = Handler.counted
            Handler.counted = (fault, number + 1 if known == fault else 1)
            (self.folder / "writes").write_text(str(Handler.counted[1]))
            return Handler.counted[1]

    def _hold(self) -> None:
        (self.folder / "held").touch()
        self.connection.recv(1)  # until the client is dead
        raise ConnectionAbortedError

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no news."""


def main(upstream: str, port: str, folder: str) -> None:
    Handler.upstream, Handler.folder = upstream, Path(folder)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
