"""Speaking to the supervisor's `/v1`: JSON over one kept connection, with the bearer token."""

import http.client
import json
from pathlib import Path
from typing import Any

from ultrathink_api import protocol


class Unreachable(Exception):
    """The supervisor did not answer; it may a moment later."""


class Client:
    """One connection, for one thread."""

    def __init__(self, host: str, port: int, token: str, *, timeout: float) -> None:
        self._host, self._port, self._token, self._timeout = host, port, token, timeout
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path, None)

    def post(self, path: str, body: protocol.Body) -> dict[str, Any]:
        return self._call("POST", path, body.model_dump_json(by_alias=True).encode())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": protocol.bearer(self._token)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{method} {path}: {error}") from error
        if response.status != http.client.OK:
            raise Unreachable(f"{method} {path}: {response.status} {data[:200].decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(data)
        return answer


def read_token(directory: str, use: str) -> str:
    """A token from its file."""
    return (Path(directory) / use).read_text().strip()
