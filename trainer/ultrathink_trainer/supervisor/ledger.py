"""The supervisor's hand on the store: one thread that claims, takes and ends epochs, and answers with events."""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ultrathink_api.causes import Cause
from ultrathink_api.errors import Problem, Refused
from ultrathink_api.protocol import RunConfig
from ultrathink_store import EpochTaken, JobStore, StorageSettings, layout, open_job, probe
from ultrathink_store.job import utc_now
from ultrathink_store.lineage import LINEAGE
from ultrathink_store.records import CheckpointRef, End, Epoch, Outcome, Start
from ultrathink_store.sweep import remove_all
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import verdict
from ultrathink_trainer.supervisor.lineage import lineage_of
from ultrathink_trainer.supervisor.verdict import RESTARTED_AT

log = logging.getLogger("ultrathink.supervisor")

PASSING_CODES = frozenset({"UTK0305", "UTK0306", "UTK0308"})
"""Refusals of a store that may pass: it does not answer, is full, or failed."""
OUTAGE_CODES = PASSING_CODES | {"UTK0302", "UTK0303", "UTK0304"}
"""The same once it was seen to work: then missing rights, too, are somebody's to give back."""
LOCAL_PATIENCE = 30.0
CLUSTER_PATIENCE = 600.0
"""How long a store may be away before a job has begun; somebody looks at a laptop."""
LOCAL_OUTAGE = 600.0
"""How long one may be away after that on a laptop. On a cluster: for ever, since ending would lose what is in memory,
and an operator, a deadline or a person can end the job."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
MEMORY_SINCE = "memorySince"
"""In START's detail: copies in memory of older attempts are not to be used."""
DISCARDING = frozenset({Cause.NAN, Cause.DIVERGED})
"""After these an attempt goes back to a checkpoint, since what is newer is spoiled."""


def memory_since(epochs: Sequence[Epoch], cause: Cause | None, number: int) -> int:
    """The oldest attempt whose copies in memory this one may go on from: none where state is thrown away on purpose."""
    if cause in DISCARDING or not epochs:
        return number
    last = epochs[-1].end
    if last is not None and last.detail.get(verdict.ROLLBACK):
        return number
    before = epochs[-1].start.detail.get(MEMORY_SINCE)
    return before if isinstance(before, int) else number


def worth_waiting(code: str, waited: float, *, begun: bool, local: bool) -> bool:
    """Whether a store that refused so may yet come back, after `waited` seconds of asking again."""
    if not begun:
        return code in PASSING_CODES and waited <= (LOCAL_PATIENCE if local else CLUSTER_PATIENCE)
    return code in OUTAGE_CODES and (not local or waited <= LOCAL_OUTAGE)


def storage_settings(config: RunConfig) -> StorageSettings:
    """How the store is reached."""
    storage = config.storage
    return StorageSettings(
        endpoint=storage.endpoint,
        region=storage.region,
        addressing=storage.addressing,
        credentials=Path(storage.credentials) if storage.credentials else None,
    )


def open_store_of(config: RunConfig, settings: StorageSettings | None = None) -> JobStore:
    """The job's folder, as supervisor and ranks see it."""
    settings = settings or storage_settings(config)
    return open_job(config.storage.uri, config.namespace or None, config.job, config.uid, settings)


@dataclass(frozen=True)
class Ended:
    """The outcome as it is stored, and what re-hashing the newest checkpoint showed."""

    outcome: Outcome | None
    checkpoint: CheckpointRef | None
    verified: bool


class LedgerThread:
    """Does one thing after another, away from the loop that must not wait for a store."""

    def __init__(self, config: RunConfig, post: Callable[[object], None]) -> None:
        self._config, self._post = config, post
        self._lineage = lineage_of(config).dump()
        self._work: queue.SimpleQueue[Callable[[], object | None] | None] = queue.SimpleQueue()
        self._job: JobStore | None = None
        self._began = False
        """Whether the store was seen to do all that a job needs."""
        self._parent: CheckpointRef | None = None
        self.outcome: Outcome | None = None
        self._has_held = False
        """Whether an epoch was ours: then one that somebody else takes means that we were given up."""
        self._unsure = False
        """Whether the store failed while an epoch was taken: it may be there all the same, and ours."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def open(self) -> None:
        self._work.put(self._open)

    def take(self, order: ev.TakeEpoch, fired: tuple[str, ...]) -> None:
        self._work.put(lambda: self._take(order, fired))

    def end(self, number: int, end: End, stacks: dict[str, dict[str, str]]) -> None:
        self._work.put(lambda: self._end(number, end, stacks))

    def finish(self, outcome: Outcome | None, *, write: bool = True) -> None:
        """Verify the newest checkpoint, and write the outcome, if there is one and it is to last."""
        self._work.put(lambda: self._finish(outcome, write))

    def delete(self) -> None:
        """Delete what the job saved, after all that was asked for before."""
        self._work.put(self._delete)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            answer = self._patiently(work)
            if answer is not None:
                self._post(answer)

    def _patiently(self, work: Callable[[], object | None]) -> object | None:
        began = time.monotonic()
        pause = FIRST_PAUSE
        while True:
            try:
                return work()
            except Refused as refused:
                waited = time.monotonic() + pause - began
                if not worth_waiting(refused.problem.code, waited, begun=self._began, local=self._config.local):
                    return ev.GaveUp(refused.problem)
                log.warning("waiting for the store since %.0f s: %s", waited, refused.problem.message)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception as error:
                # A thread that dies in silence would leave the job waiting for ever.
                fix = "report it with the supervisor's log"
                return ev.GaveUp(Problem("UTK0407", "", f"{type(error).__name__}: {error}", fix))

    def _open(self) -> ev.Opened:
        job = open_store_of(self._config)
        probe(job.store)
        self._job = job
        self._parent = job.claim(self._config.resume).parent
        self.outcome = job.outcome()
        epochs, newest = self._read()
        self._began = True
        return ev.Opened(epochs, newest, self.outcome is not None)

    def _read(self) -> tuple[tuple[Epoch, ...], CheckpointRef | None]:
        assert self._job is not None, "opened first"
        epochs = tuple(self._job.epochs())
        if not epochs:
            return epochs, self._parent
        newest = self._job.newest()
        return epochs, newest.ref if newest else None

    def _take(self, order: ev.TakeEpoch, fired: tuple[str, ...]) -> ev.EpochTaken:
        assert self._job is not None, "opened first"
        number = order.number
        while True:
            start = Start(
                epoch=number,
                parent=self._read()[1],
                cause=order.cause,
                created_at=utc_now(),
                detail=self._detail(order, number),
                chaos={"fired": list(fired)} if fired else None,
            )
            try:
                self._job.take_epoch(number, start)
            except EpochTaken as taken:
                if self._has_held and not self._unsure:
                    raise Refused(verdict.deposed(taken.newest)) from taken
                number = taken.newest + 1
            except Refused:
                self._unsure = True
                raise
            else:
                self._has_held, self._unsure = True, False
                return ev.EpochTaken(start)

    def _detail(self, order: ev.TakeEpoch, number: int) -> dict[str, Any]:
        assert self._job is not None, "opened first"
        since = memory_since(self._job.epochs(), order.cause, number)
        answered = {RESTARTED_AT: order.restarted_at} if order.restarted_at else {}
        return {**order.detail, MEMORY_SINCE: since, **answered, LINEAGE: self._lineage}

    def _end(self, number: int, end: End, stacks: dict[str, dict[str, str]]) -> ev.EpochEnded:
        assert self._job is not None, "opened first"
        if stacks:
            key = f"{layout.epoch_folder(self._job.uid, number)}/{layout.STACKS}"
            log.warning("stacks of the ranks are kept at %s/%s", self._job.store.uri, key)
            try:
                self._job.store.write(key, json.dumps(stacks).encode())
            except Refused as refused:  # the log has them; the ledger's line must not wait for them
                log.warning("they are only here: %s", refused.problem.message)
            for rank, seen in stacks.items():
                log.warning("rank %s on %s, state %s:\n%s", rank, seen["node"], seen["state"], seen["stack"])
        self._job.end_epoch(number, end)
        return ev.EpochEnded(*self._read())

    def _delete(self) -> ev.Deleted:
        assert self._job is not None, "opened first"
        removed = remove_all(self._job)
        log.info("deleted %s checkpoints with the job", removed)
        return ev.Deleted(removed)

    def _finish(self, outcome: Outcome | None, write: bool) -> Ended:
        if self._job is None:
            return Ended(outcome, None, False)
        newest = self._read()[1] if self._job.epochs() else None
        verified = bool(newest and self._job.verify(newest).ok)
        if outcome is not None and write:
            outcome = self._job.write_outcome(outcome.model_copy(update={"checkpoint": newest}))
        return Ended(outcome, newest, verified)
