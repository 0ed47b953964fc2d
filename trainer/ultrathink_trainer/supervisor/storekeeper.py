"""The supervisor's eye on the store, by a thread of its own: does it answer, what may retention delete."""

import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.protocol import CheckpointTrouble, RunConfig
from ultrathink_api.sections.checkpoint import KeepSpec
from ultrathink_store import JobStore, layout
from ultrathink_store.backend import Missing
from ultrathink_store.retention import Keep
from ultrathink_store.sweep import Swept, sweep
from ultrathink_trainer.supervisor.freshness import Freshness
from ultrathink_trainer.supervisor.ledger import open_store_of, storage_settings

log = logging.getLogger("ultrathink.supervisor")

LOOK_SECONDS = 4.0
CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0
"""A look every four seconds that may take eight: whoever watches hears of a store that is gone within 15 seconds."""
SWEEP_SECONDS = 60.0
"""Between two sweeps: what they delete is at least ten minutes old anyway."""


class StoreKeeper:
    """Told of records by the supervisor's loop, asked by it for what is wrong."""

    def __init__(
        self, config: RunConfig, *, clock: Callable[[], float] = time.monotonic, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._config, self._clock, self._look_seconds = config, clock, look_seconds
        self.keep: KeepSpec = config.spec.checkpoint.keep
        self._freshness = Freshness()
        self._lock = threading.Lock()
        self._wanted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._job: JobStore | None = None

    def open(self) -> None:
        """The job's folder is ours: look after it from now on."""
        threading.Thread(target=self._run, name="storekeeper", daemon=True).start()

    def record(self, epoch: int, record: Mapping[str, Any], now: float) -> None:
        """A record of rank 0 of the attempt under way."""
        with self._lock:
            self._freshness.take(record, now)
        if record["event"] == "copiesLeftOut":
            log.warning("no copies in memory are made: %s", record["message"])
        if record["event"] == "checkpoint":
            self._wanted.put(epoch)

    def attempt_ended(self) -> None:
        with self._lock:
            self._freshness.attempt_ended()

    def trouble(self, now: float) -> CheckpointTrouble | None:
        """Why no fresh checkpoint can be relied on, if so."""
        with self._lock:
            return self._freshness.trouble(now)

    def _run(self) -> None:
        epoch: int | None = None
        due = self._clock()
        while True:
            try:
                epoch = self._wanted.get(timeout=self._look_seconds)
            except queue.Empty:
                self._look()
            if epoch is not None and self._clock() >= due:
                self._sweep(epoch)
                epoch, due = None, self._clock() + SWEEP_SECONDS

    def _look(self) -> None:
        problem: Problem | None = None
        try:
            # A whole answer, not a HEAD: only a body says why it is no.
            with suppress(Missing):
                self._opened().store.fetch(layout.OWNER)
        except Refused as refused:
            problem = refused.problem
        with self._lock:
            before = self._freshness.trouble(self._clock())
            self._freshness.looked(problem)
        if problem is not None and before is None:
            log.warning("checkpoints are in danger, training goes on: %s", problem.message)

    def _sweep(self, epoch: int) -> None:
        keep = Keep(last=self.keep.last, every_steps=self.keep.every_steps)
        try:
            swept = sweep(self._opened(), epoch, keep)
        except Refused as refused:
            log.warning("retention deletes nothing for now: %s", refused.problem.message)
            return
        if swept != Swept():
            log.info(
                "retention deleted %s checkpoints, %s torn steps, %s unfinished uploads: %s bytes",
                swept.checkpoints,
                swept.leftovers,
                swept.unfinished,
                swept.bytes,
            )

    def _opened(self) -> JobStore:
        if self._job is None:
            settings = dataclasses.replace(
                storage_settings(self._config), connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS, attempts=1
            )
            self._job = open_store_of(self._config, settings)
        return self._job
