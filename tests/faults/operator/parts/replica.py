"""One replica of the operator as a process of its own: started, killed, paused, told to stop."""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import aiohttp

from testbed.child import listens, tail

KEY = b"k" * 32
RUNTIME = "image: registry.example/trainer:1\nstorage: {uri: s3://runs}\n"
END_S = 20.0
QUIET = (10_000, 30_000)
PROBE = aiohttp.ClientTimeout(total=5)
PACE = {"ultrathink_operator.progress:POLL_S": 0.4, "ultrathink_operator.progress:HURRY_S": 0.2}
"""Supervisors are asked more often than in life, so that a test need not wait for the next question."""


class Replica:
    """Reaches the API server at `url`, with a ServiceAccount's token."""

    def __init__(
        self,
        folder: Path,
        namespace: str,
        url: str,
        account: Path,
        identity: str = "operator-0",
        pace: dict[str, float] | None = None,
        before: tuple[str, ...] = (),
        **more: str,
    ) -> None:
        self.folder, self.log = folder, folder / f"{identity}.log"
        (folder / "key").write_bytes(KEY)
        (folder / "runtime.yaml").write_text(RUNTIME)
        self.metrics_port = self.health_port = 0
        self._process: asyncio.subprocess.Process | None = None
        self.starts, self._before = 0, before
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("ULTRATHINK_", "KUBE"))},
            "HASTY": json.dumps({**PACE, **(pace or {})}),
            "KUBECONFIG": str(_towards(url, account, folder / f"{identity}.kubeconfig")),
            "POD_NAME": identity,
            "ULTRATHINK_NAMESPACE": namespace,
            "ULTRATHINK_CONTROL_KEY_FILE": str(folder / "key"),
            "ULTRATHINK_OLD_CONTROL_KEY_FILE": str(folder / "none"),
            "ULTRATHINK_RUNTIME_FILE": str(folder / "runtime.yaml"),
            **more,
        }

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def start(self) -> None:
        assert not self.alive
        self.starts += 1
        self.metrics_port, self.health_port = _quiet_port(), _quiet_port()
        ports = {
            "ULTRATHINK_METRICS_PORT": str(self.metrics_port),
            "ULTRATHINK_HEALTH_PORT": str(self.health_port),
        }
        command = [*self._before, sys.executable, str(Path(__file__).with_name("hasty.py"))]
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self._environment | ports, stdout=output, stderr=output, start_new_session=True
            )

    async def kill(self) -> None:
        """As if the machine had gone, with whatever stands before the operator."""
        if self._process and self.alive:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def terminate(self) -> int:
        """As kubelet does it; the exit code."""
        self.signal(signal.SIGTERM)
        assert self._process
        return await asyncio.wait_for(self._process.wait(), END_S)

    async def get(self, port: int, path: str) -> tuple[int, str]:
        """What it answers to a probe or a scrape; 0 if it does not."""
        url = f"http://127.0.0.1:{port}{path}"
        try:
            async with aiohttp.ClientSession() as session, session.get(url, timeout=PROBE) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, str(error)

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def said(self) -> str:
        return tail(self.log, 60)


def _quiet_port() -> int:
    """Free, and out of the range from which connections take theirs: the operator binds it a second later."""
    while True:
        port = random.randint(*QUIET)
        if not listens("127.0.0.1", port):
            return port


def _towards(url: str, account: Path, target: Path) -> Path:
    config = json.loads(account.read_text())
    config["clusters"][0]["cluster"] = {"server": url}
    target.touch(mode=0o600)
    target.write_text(json.dumps(config))
    return target
