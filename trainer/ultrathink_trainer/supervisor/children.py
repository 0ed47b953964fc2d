"""The supervisor's children: started, looked at, started again with a pause, ended with all that is below them."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from ultrathink_trainer.runtime import processes

log = logging.getLogger("ultrathink.supervisor")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
STEADY_SECONDS = 60.0
"""One that lived for so long was no failure to start: the next pause is short again."""


class Child:
    """One process that is wanted as long as it is not ended."""

    def __init__(self, name: str, command: Callable[[], list[str]], env: Mapping[str, str] | None = None) -> None:
        self.name, self._command, self._env = name, command, env
        self.process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._again_at = self._began = 0.0
        self._pause = FIRST_PAUSE

    def start(self) -> None:
        """Want it from now on."""
        self._wanted = True
        self.tend(time.monotonic())

    def tend(self, now: float) -> bool:
        """Start it if it is due; True when it was found dead."""
        if self.process is not None and self.process.poll() is not None:
            log.warning("%s ended with %s", self.name, self.process.returncode)
            self.process = None
            self._pause = FIRST_PAUSE if now - self._began > STEADY_SECONDS else min(2 * self._pause, LONGEST_PAUSE)
            self._again_at = now + self._pause
            return True
        if self.process is None and self._wanted and now >= self._again_at:
            self._began = now
            # stdout is the contract; what children print is for people.
            self.process = processes.spawn(self._command(), env=self._env, stdout=sys.stderr.buffer)
        return False

    def signal(self, signum: int) -> None:
        if self.process is not None:
            processes.signal_process(self.process.pid, signum)

    def end(self) -> None:
        """Want it no more, and kill it with all below it: what it held is saved, or was never to be."""
        self._wanted = False
        if self.process is not None:
            processes.kill_below(self.process.pid)
            self.process.kill()
            self.process.wait()
            self.process = None


def end_all(children: list[Child]) -> None:
    """End them, then whatever they left to us."""
    for child in children:
        child.end()
    processes.kill_below(os.getpid())
