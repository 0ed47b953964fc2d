"""Child processes that never outlive their parent, and conditions with deadlines to wait for."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

GRACE_S = 3.0
POLL_S = 0.05
LOG_TAIL_LINES = 15


class Died(Exception):
    """A child ended before it was ready."""


class Child:
    """One server process: its output goes to a file, it dies with this process, and stop() is sure.

    The kernel ends a child when the *thread* that started it ends: start children from a thread that stays.
    """

    def __init__(self, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = Path(argv[0]).name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_dies_with_parent(), *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], deadline_s: float) -> None:
        def ready_or_dead() -> bool:
            if not self.alive():
                raise Died(f"{self.name} ended with code {self._process.returncode}:\n{self.log_tail()}")
            return ready()

        wait_until(ready_or_dead, deadline_s, lambda: f"{self.name} is not ready:\n{self.log_tail()}")

    def stop(self) -> None:
        if not self.alive():
            return
        self._process.terminate()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def log_tail(self) -> str:
        return tail(self.log)


def wait_until(ready: Callable[[], bool], deadline_s: float, otherwise: Callable[[], str]) -> None:
    end = time.monotonic() + deadline_s
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"after {deadline_s:g} s: {otherwise()}")
        time.sleep(POLL_S)


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    if not log.exists():
        return f"({log} does not exist)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _dies_with_parent() -> list[str]:
    # Linux only; elsewhere the context managers alone clean up.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
