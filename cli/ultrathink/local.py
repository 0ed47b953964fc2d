"""A job on this machine: the same supervisor as on a cluster, with its events handed on."""

import signal
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ultrathink_api.errors import Refused
from ultrathink_api.job import UltraThinkJob
from ultrathink_planner import Plan

Event = dict[str, Any]
OnEvent = Callable[[Event], None]

NEEDED = ("torch", "ray")
RUNS = "runs"
"""Folder below the current one, where a job without checkpoint.uri keeps its checkpoints."""


def checkpoint_uri(job: UltraThinkJob, folder: Path) -> str:
    """Where the job keeps checkpoints when it runs in this folder."""
    return job.spec.checkpoint.uri or f"file://{folder / RUNS}"


def run(
    job: UltraThinkJob,
    plan: Plan,
    *,
    chaos: Sequence[str] = (),
    resume: str | None = None,
    on_event: OnEvent,
    on_stop: Callable[[], None] = lambda: None,
    log: IO[bytes] | None = None,
) -> Event:
    """Trains and returns the summary; Ctrl-C saves and stops, again at once. Call it from the main thread."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Refused.of(
            "UTK0606",
            message=f"to train here {' and '.join(missing)} must be installed",
            fix="pip install 'ultrathink[cli,trainer]'",
        )
    from ultrathink_trainer.local import run_local

    told = _TellOfStop(on_stop)

    def take(event: Event) -> None:
        told.arm()
        on_event(event)

    return run_local(
        job,
        plan,
        checkpoint_uri=checkpoint_uri(job, Path.cwd()),
        resume_uid=resume,
        chaos=tuple(chaos),
        on_event=take,
        log=log,
    )


class _TellOfStop:
    """Says that a signal was taken, before the run, which holds the signals by then, acts on it."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._armed = False

    def arm(self) -> None:
        """Once, as soon as the run has set its own handlers, which it takes down by itself."""
        if self._armed:
            return
        self._armed = True
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._wrapped(signal.getsignal(signum)))

    def _wrapped(self, before: Any) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            self._on_stop()
            before(number, frame)

        return handle
