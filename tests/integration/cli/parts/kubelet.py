"""The part of a kubelet that serves logs: the API server comes here for pods/log of pods on our node."""

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

WAKE_S = 0.1


class Kubelet:
    """Logs by pod; `say` appends a line, `cut` ends every open stream as a lost connection would."""

    def __init__(self, certificate: Path, key: Path, api: client.ApiClient, node: str) -> None:
        self.node = node
        self.asked: list[dict[str, str]] = []
        self._logs: dict[str, list[tuple[str, str]]] = {}
        self._changed = threading.Condition()
        self._generation = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._register(api)

    def say(self, pod: str, *lines: str) -> None:
        with self._changed:
            for line in lines:
                stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")
                self._logs.setdefault(pod, []).append((stamp, line))
            self._changed.notify_all()

    def cut(self) -> None:
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def forget(self, pod: str) -> None:
        """A replaced pod begins with an empty log."""
        with self._changed:
            self._logs.pop(pod, None)
            self._generation += 1
            self._changed.notify_all()

    def close(self) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, pod: str, query: dict[str, str], write: Callable[[bytes], None]) -> None:
        self.asked.append(query)
        since, sent, generation = query.get("sinceTime", ""), 0, self._generation
        while True:
            with self._changed:
                lines = self._logs.get(pod, [])[sent:]
                if not lines and query.get("follow") == "true" and generation == self._generation:
                    self._changed.wait(WAKE_S)
                    continue
                if generation != self._generation:
                    return
            for stamp, line in lines:
                # The real one knows whole seconds only: what comes twice is the client's to notice.
                if stamp[:19] >= since[:19]:
                    write(f"{stamp} {line}\n".encode() if query.get("timestamps") == "true" else f"{line}\n".encode())
            sent += len(lines)
            if query.get("follow") != "true":
                return

    def _register(self, api: client.ApiClient) -> None:
        core = client.CoreV1Api(api)
        core.create_node({"metadata": {"name": self.node}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_address[1]}},
        }
        core.patch_node_status(self.node, {"status": status})


def _handler(kubelet: Kubelet) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            pod = parts.path.split("/")[3]
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

            def write(data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            try:
                kubelet.serve(pod, query, write)
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
