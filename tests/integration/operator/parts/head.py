"""The test's own head of a cluster: a real HTTP server that speaks the supervisor's protocol."""

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from ultrathink_api import protocol
from ultrathink_api.protocol import OutcomeView, Progress, SpecChange, SpecReply, StopRequest, StopView
from ultrathink_api.status import AttemptStatus, AvoidedStatus, CheckpointStatus, GoodputStatus, ProgressStatus

_addresses = itertools.count(2)


def fresh_address() -> str:
    """A loopback address of its own: every head listens on the one port that the protocol names."""
    number = next(_addresses)
    return f"127.77.{number // 250}.{number % 250 + 1}"


class Head:
    """Serves `/v1` as the supervisor of one job would, and does what the test tells it to."""

    def __init__(self, uid: str, key: bytes, cluster: int = 1) -> None:
        self.ip = fresh_address()
        self._token = protocol.token(key, uid, protocol.CONTROL_TOKEN)
        self.progress = Progress(uid=uid, cluster=cluster, generation=1, incarnation=self.ip, state="starting")
        self.asked = self.stops = 0
        self.told: dict[str, Any] = {}
        self.confirms = True
        self.spec_effect: Any = "inPlace"

    def __enter__(self) -> Self:
        head = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                head._answer(self, {})

            def do_POST(self) -> None:
                head._answer(self, json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((self.ip, protocol.CONTROL_PORT), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def train(self, step: int, attempt: int = 1) -> None:
        """Training has come so far."""
        self._say(
            state="running",
            attempt=AttemptStatus(number=attempt, cluster=self.progress.cluster),
            progress=ProgressStatus(step=step, of=200, percent=f"{step // 2}%", loss="2.1", seen_at=TIMES[step % 50]),
        )

    def blame(self, node: str, hours: float = 1.0) -> None:
        """A node is to be avoided."""
        now = datetime.now(UTC)
        since, until = ((now + timedelta(hours=h)).isoformat(timespec="seconds") for h in (0.0, hours))
        self._say(avoid=(AvoidedStatus(node=node, since=since, until=until, reason="Hang"),))

    def commit(self, step: int) -> None:
        """A checkpoint was committed."""
        checkpoint = CheckpointStatus(step=step, uri=f"s3://runs/x/step-{step}", verified=True, committed_at=TIMES[0])
        self._say(checkpoint=checkpoint)

    def confirm(self, step: int) -> None:
        """The save that a stop asked for is committed."""
        before = self.progress.stop or StopView(reason="Suspended", confirmed=False)
        self._say(state="stopped", stop=before.model_copy(update={"confirmed": True, "step": step}))

    def end(self, step: int = 200, attempts: int = 1) -> None:
        """The job is done."""
        outcome = OutcomeView(phase="Succeeded", reason="Completed", step=step, attempts=attempts)
        goodput = GoodputStatus(ratio="0.9", seconds={"productive": 90.0, "other": 10.0})
        self._say(state="ended", outcome=outcome, goodput=goodput)

    def fail(self, reason: str, code: str, message: str) -> None:
        outcome = OutcomeView(
            phase="Failed", reason=reason, code=code, message=message, fix="mend it", step=3, attempts=2
        )
        self._say(state="ended", outcome=outcome)

    def _say(self, **fields: Any) -> None:
        self.progress = self.progress.model_copy(update=fields)

    def _answer(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        status, answer = self._act(request.path, request.headers.get("Authorization"), body)
        raw = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(raw)))
        request.end_headers()
        request.wfile.write(raw)

    def _act(self, path: str, authorization: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        if authorization != protocol.bearer(self._token):
            return 401, {}
        if path == protocol.PROGRESS_PATH:
            self.asked += 1
            return 200, self.progress.dump()
        if path == protocol.STOP_PATH:
            self.stops += 1
            request = StopRequest.model_validate(body)
            deletes = request.delete_checkpoints
            stop = StopView(reason=request.reason, confirmed=self.confirms, delete_checkpoints=deletes)
            self._say(state="stopping", stop=stop)
            return 200, self.progress.dump()
        if path == protocol.SPEC_PATH:
            self.told = body
            change = SpecChange.model_validate(body)
            if self.spec_effect != "newCluster":
                self._say(generation=change.generation)
            return 200, SpecReply(generation=change.generation, effect=self.spec_effect).dump()
        return 404, {}


TIMES = [f"2026-01-01T00:00:{second:02d}Z" for second in range(60)]
