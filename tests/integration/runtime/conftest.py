"""Local runs on a real Ray: started, listened to, and shown to leave nothing behind."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ultrathink_trainer.runtime import processes

HERE = Path(__file__).parent
RUN_SECONDS = 300.0
"""A run of some steps takes half a minute alone on two cores, several when they are shared."""
GONE_SECONDS = 30.0
STEPS = 24
SAVE_EVERY = 4

Event = dict[str, Any]


def tiny_job(*, workers: int = 2, steps: int = STEPS, **spec: Any) -> dict[str, Any]:
    """A job that trains in seconds."""
    return {
        "apiVersion": "ultrathink.io/v1alpha1",
        "kind": "UltraThinkJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "model": {"preset": "moe-tiny", "layers": 2},
            "data": {"uri": "builtin://stories", "sequenceLength": 32},
            "training": {"steps": steps, "globalBatchTokens": 256},
            "workers": {"count": workers},
            "checkpoint": {"every": {"steps": SAVE_EVERY}},
            **spec,
        },
    }


class LocalRun:
    """One run: its process, and the events it has printed so far."""

    def __init__(self, folder: Path, **arguments: Any) -> None:
        self.events: list[Event] = []
        self._log = (folder / f"log-{time.monotonic_ns()}").open("w+b")
        given = {"job": tiny_job(), "uri": f"file://{folder}/runs", **arguments}
        self.process = processes.spawn(
            [sys.executable, str(HERE / "local_run.py"), json.dumps(given)], stdout=subprocess.PIPE, stderr=self._log
        )

    def until(self, condition: Callable[[Event], bool]) -> Event:
        """The first event that fulfils it."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + RUN_SECONDS
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            if condition(event):
                return event
            assert time.monotonic() < deadline, self.log
        raise AssertionError(f"the run ended before that: {self.log}")

    def summary(self) -> Event:
        """The last word; the process has ended then."""
        summary = self.until(lambda event: event["event"] == "summary")
        assert self.process.wait(RUN_SECONDS) == 0, self.log
        return summary

    @property
    def log(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return self._log.read().decode()[-6000:]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event["event"] == name]

    @property
    def losses(self) -> dict[int, set[float]]:
        """Every loss that was ever told, by step: one, if replays are exact."""
        found: dict[int, set[float]] = {}
        for event in self.named("step"):
            found.setdefault(event["step"], set()).add(event["loss"])
        return found

    def close(self) -> None:
        below = [self.process.pid, *processes.descendants(self.process.pid)]
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        wait_until_gone(below)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


def wait_until_gone(pids: list[int]) -> None:
    """None of them lives any more."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"left behind: {[_command(pid) for pid in left]}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return str(pid)


Start = Callable[..., LocalRun]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts local runs, and ends those that a test left."""
    runs: list[LocalRun] = []

    def begin(**arguments: Any) -> LocalRun:
        runs.append(LocalRun(tmp_path, **arguments))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The run that nothing happens to: what all others must equal."""
    run = LocalRun(tmp_path_factory.mktemp("undisturbed"))
    run.summary()
    yield run
    run.close()
