"""/healthz of an agent, for kubelet: 200 when ranks could be forked at once."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ultrathink_api.protocol import HEALTH_PATH

PROBE_SECONDS = 10.0
"""A probe that sends nothing for so long is dropped."""


def serve(healthy: Callable[[], bool], port: int) -> int:
    """Answers probes from now on; the port."""

    class Health(BaseHTTPRequestHandler):
        timeout = PROBE_SECONDS

        def do_GET(self) -> None:
            status = 404 if self.path != HEALTH_PATH else 200 if healthy() else 503
            body = b"ok\n" if status == 200 else b"not ready\n"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer(("0.0.0.0", port), Health)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server.server_port
