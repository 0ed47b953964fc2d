"""Ray as a head starts it: without the token nobody gets an answer, and the token is nowhere but in its file."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ultrathink_api.protocol import CONTROL_TOKEN, RAY_TOKEN, Ports, RayNode, RunConfig, Storage
from ultrathink_trainer.local import free_ports
from ultrathink_trainer.runtime import processes, raynode

START_S = 180.0
ASK_S = 30.0
LOOPBACK = "127.0.0.1"
DOORS = ["/api/version", "/api/jobs/", "/nodes?view=summary", "/api/v0/tasks", "/api/cluster_status", "/metrics"]
FOREIGN = {"Host": "foreign.example", "Origin": "http://foreign.example", "Referer": "http://foreign.example/"}
BROWSER = {**FOREIGN, "User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site"}


class RayHead:
    """A Ray head, started by the very command that a head pod starts it by."""

    def __init__(self, folder: Path, config: RunConfig, token: str) -> None:
        self.folder, self.config, self.token = folder, config, token
        self._log = (folder / "ray.log").open("wb")
        self.process = processes.spawn(
            raynode.head_command(config, LOOPBACK),
            env=raynode.environment(config),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str, method: str = "GET", **headers: str) -> int:
        """The status that the dashboard answers with; 0 where nobody listens."""
        body = b'{"entrypoint": "true"}' if method == "POST" else None
        url = f"http://{LOOPBACK}:{self.config.ports.dashboard}{path}"
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, method=method, headers=named, data=body), timeout=ASK_S
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    @property
    def bearer(self) -> str:
        return f"Bearer {self.token}"

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while self.ask("/api/jobs/", Authorization=self.bearer) != 200:
            assert time.monotonic() < deadline, (self.folder / "ray.log").read_text()[-3000:]
            assert self.process.poll() is None, (self.folder / "ray.log").read_text()[-3000:]
            time.sleep(0.2)

    def members(self) -> list[int]:
        return [self.process.pid, *processes.descendants(self.process.pid)]

    def close(self) -> None:
        below = self.members()
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()
        self._log.close()


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    folder = Path(tempfile.mkdtemp(prefix="utk-ray-"))  # short: it holds sockets
    token = secrets.token_hex(32)
    (folder / "tokens").mkdir(mode=0o700)
    for name in (RAY_TOKEN, CONTROL_TOKEN):
        (folder / "tokens" / name).write_text(token)
    ray, dashboard = free_ports(2)
    config = RunConfig.model_construct(
        head=LOOPBACK,
        agent_in_head=True,
        tokens=str(folder / "tokens"),
        ports=Ports(ray=ray, dashboard=dashboard),
        ray=RayNode(object_store_bytes=80 << 20, directory=str(folder / "ray")),
        storage=Storage(uri="file:///nowhere"),
    )
    running = RayHead(folder, config, token)
    try:
        running.wait_ready()
        yield running
    finally:
        running.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.fault("N27")
@pytest.mark.parametrize("path", DOORS)
def test_without_the_token_nothing_is_told(head: RayHead, path: str) -> None:
    assert head.ask(path) == 401
    assert head.ask(path, Authorization=f"Bearer {'0' * 64}") == 403


@pytest.mark.fault("N27")
def test_without_the_token_nothing_is_run(head: RayHead) -> None:
    assert head.ask("/api/jobs/", "POST", Content_Type="application/json") == 401


@pytest.mark.fault("N27")
def test_rays_own_client_is_refused_without_the_token(head: RayHead) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    asked = f"import ray; ray.init(address='{LOOPBACK}:{head.config.ports.ray}', log_to_driver=False); print('in')"
    environment["RAY_gcs_rpc_server_reconnect_timeout_s"] = "2"
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=False, timeout=START_S
    )
    assert done.returncode != 0 and "in" not in done.stdout.split()


@pytest.mark.fault("N27", "N28")
def test_the_dashboard_listens_inside_its_pod_only(head: RayHead) -> None:
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {LOOPBACK}
    port = head.config.ports.dashboard
    with socket.socket() as probe, pytest.raises(OSError):
        probe.settimeout(ASK_S)
        probe.connect((next(iter(others), "127.0.0.2"), port))


@pytest.mark.fault("N30")
@pytest.mark.parametrize("path", DOORS)
def test_a_foreign_page_in_a_browser_that_sees_the_port_is_told_nothing(head: RayHead, path: str) -> None:
    assert head.ask(path, **FOREIGN) == 401
    assert head.ask(path, **BROWSER) == 401


@pytest.mark.fault("N30")
def test_a_browser_runs_nothing_even_with_the_token(head: RayHead) -> None:
    assert head.ask("/api/jobs/", "POST", Authorization=head.bearer, **BROWSER) == 405


@pytest.mark.fault("N31")
def test_the_token_is_in_its_file_and_in_no_command_environment_or_log(head: RayHead) -> None:
    token, found = head.token.encode(), []
    for pid in head.members():
        for part in ("cmdline", "environ"):
            with suppress(OSError):
                if token in Path(f"/proc/{pid}/{part}").read_bytes():
                    found.append(f"{part} of {pid}")
    for file in head.folder.rglob("*"):
        if file.is_file() and file.parent.name != "tokens" and token in file.read_bytes():
            found.append(str(file))
    assert found == []
    assert head.ask("/api/jobs/", Authorization=head.bearer) == 200, "it was looked for while Ray ran"
