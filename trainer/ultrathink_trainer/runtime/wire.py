"""JSON objects as lines: on a unix socket between agent and worker, agent and zygote, and on the pipe of the ranks."""

import json
import os
import socket
import threading
from typing import Any

CHUNK = 1 << 16
ATOMIC = 4096
"""PIPE_BUF: a write of at most so many bytes to a pipe is never torn by another writer's."""

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class Lines:
    """Bytes in, whole objects out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """Objects whose last byte is in `data`."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole if line]


class Link:
    """One end of a stream socket that carries objects."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = Lines()
        self._sending = threading.Lock()

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message) -> bool:
        """False when the other end is gone."""
        try:
            with self._sending:
                self._sock.sendall(encode(message))
        except ConnectionError:
            return False
        return True

    def receive(self) -> list[Message] | None:
        """Objects that are there now, waiting for the first byte; None when the other end is gone."""
        try:
            data = self._sock.recv(CHUNK)
        except ConnectionError:
            return None
        return self._lines.feed(data) if data else None

    def close(self) -> None:
        self._sock.close()


class Records:
    """The reading end of the pipe that all ranks of a node write to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines = Lines()
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        return self._fd

    def drain(self) -> list[Message]:
        """All records written so far."""
        found: list[Message] = []
        while True:
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return found
            if not data:
                return found
            found += self._lines.feed(data)


def write_record(fd: int, message: Message) -> None:
    """One record by one atomic write; what would not fit is an error of ours."""
    line = encode(message)
    assert len(line) <= ATOMIC, f"a record of {len(line)} bytes could be torn"
    os.write(fd, line)
