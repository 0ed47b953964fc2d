"""Saving behind training, and restoring what can be trusted."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException

from ultrathink_api.errors import Problem, Refused
from ultrathink_planner import Plan
from ultrathink_store import Checkpoint, CheckpointRef, Corrupt, JobStore, Manifest, Shard

from . import progress as progresses
from .beginning import read_weights
from .copies import Copies, LeftOut, common
from .exchange import gather
from .held import Held, Staging, hold
from .planners import LoadPlanner, SavePlanner
from .progress import Progress
from .storage import Damaged, Reader, Rejected, Writer, manifest_parts

SUPERSEDED = "UTK0315"
"""A newer attempt took over: this one must not go on."""


@dataclass(frozen=True)
class Saved:
    """A committed checkpoint; `ref` is known to rank 0."""

    step: int
    ref: CheckpointRef | None
    bytes: int
    stall_seconds: float


@dataclass(frozen=True)
class Failed:
    """A save that came to nothing. Training goes on: the one before it still counts."""

    step: int
    problem: Problem

    def refused(self) -> Refused:
        return Refused(self.problem)


class Checkpoints:
    """One rank's share of saving and restoring. All ranks make it together and call its methods alike."""

    def __init__(
        self, store: JobStore, epoch: int, plan: Plan, *, now: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        self.store, self.epoch, self.plan, self.now, self.clock = store, epoch, plan, now, clock
        self.group = dist.new_group(backend="gloo")  # uploads talk beside training, never between its collectives
        self.parent: CheckpointRef | None = None
        self.newest_step: int | None = None
        """Of what is safe: restored or committed."""
        self.skipped = 0
        self.copies: Copies | None = None
        """Where state is copied to beside the store, if the job asks for it."""
        self.copies_left_out = "another rank has no room for them"
        """Why there is no room for them."""
        self._staging = Staging()
        self._upload: threading.Thread | None = None
        self._copied = threading.Event()
        """The last save's state is in host memory, or never will be."""
        self._copied.set()
        self._result: Saved | Failed | Exception | None = None
        self.stall_seconds: float | None = None
        """How long the last save held training up; None before the first."""

    # Saving

    @property
    def packed(self) -> bool:
        return bool(self.plan.checkpoint.packed)

    @property
    def busy(self) -> bool:
        """Whether the last upload is still on its way here; ranks may differ, the control word agrees."""
        return self._upload is not None and self._upload.is_alive()

    def save(self, tensors: Mapping[str, torch.Tensor], progress: Progress) -> None:
        """Begin to copy the state to host memory and return; hashing, upload and commit follow in the same thread.

        The next forward and backward change nothing of what is copied: whoever will do so calls `settle` before.
        """
        assert not self.busy, "one upload at a time"
        began = self.clock()
        state = progresses.dump(progress, self.plan)
        self._copied.clear()
        self._upload = threading.Thread(target=self._run, args=(hold(tensors), progress.step, state), daemon=True)
        self._upload.start()
        self.stall_seconds = self.clock() - began

    def settle(self) -> None:
        """Wait until the state may change again: the last save has its copy."""
        if self._copied.is_set():
            return
        began = self.clock()
        self._copied.wait()
        self.stall_seconds = (self.stall_seconds or 0.0) + self.clock() - began

    def result(self, *, wait: bool = False) -> Saved | Failed | None:
        """What became of the last save, once; None while it is on its way."""
        if self._upload is None or (self.busy and not wait):
            return None
        self._upload.join()
        self._upload = None
        result, self._result = self._result, None
        assert result is not None, "an upload ends with a result"
        if isinstance(result, Exception):
            raise result
        if isinstance(result, Failed) and result.problem.code == SUPERSEDED:
            raise result.refused()
        if isinstance(result, Saved):
            self.newest_step = result.step
            return replace(result, stall_seconds=self.stall_seconds or 0.0)
        return result

    def _run(self, live: Mapping[str, Held], step: int, state: dict[str, Any]) -> None:
        try:
            staged = self._staging.copy(live)
            self._copied.set()
            self._result = self._write(staged, step, state)
        except Exception as error:  # a peer is gone, say: the training thread shall hear of it
            self._result = error
        finally:
            self._copied.set()

    def _write(self, staged: Mapping[str, Any], step: int, state: dict[str, Any]) -> Saved | Failed:
        committed: list[tuple[CheckpointRef, int]] = []

        def commit(shards: list[Shard]) -> None:
            manifest = self._manifest(step, state, shards)
            committed.append((self.store.commit(self.epoch, step, manifest), manifest.size))

        writer = Writer(self.store, self.epoch, step, dist.get_rank(), commit, packed=self.packed)
        try:
            dcp.save(dict(staged), storage_writer=writer, planner=SavePlanner(), process_group=self.group)
        except CheckpointException as error:
            return Failed(step, _problem(error))
        if committed:
            self.parent = committed[0][0]
        ref, size = committed[0] if committed else (None, 0)
        return Saved(step, ref, size, stall_seconds=0.0)

    def _manifest(self, step: int, state: dict[str, Any], shards: list[Shard]) -> Manifest:
        return Manifest(
            uid=self.store.uid,
            epoch=self.epoch,
            step=step,
            parent=self.parent,
            created_at=self.now(),
            state=state,
            plan_digest=self.plan.digest,
            model=self.plan.model.dump(),
            versions=progresses.versions(),
            **manifest_parts(shards, packed=self.packed),
        )

    # Copies in memory

    def copy_is_due(self, step: int) -> bool:
        """On all ranks alike."""
        return self.copies is not None and self.copies.due(step)

    def copy(self, tensors: Mapping[str, torch.Tensor], progress: Progress) -> bool:
        """Copy the state beside the training; False where there is no room for it."""
        assert self.copies is not None, "no copies are kept"
        try:
            state = progresses.dump(progress, self.plan)
            self.copies.write(hold(tensors), state, epoch=self.epoch, step=progress.step)
        except LeftOut as no_room:
            self.copies_left_out = str(no_room)
            return False
        return True

    def recall(
        self, tensors: Mapping[str, torch.Tensor], fingerprint: str, parent: CheckpointRef | None
    ) -> Progress | None:
        """Fill the tensors from the newest copy that all ranks have, unless the checkpoint to start from is newer."""
        if self.copies is None:  # on all ranks alike: the spec says so
            return None
        chosen = common(gather(self.copies.offers(), self.group), at_least=parent.step if parent else 0)
        if chosen is None:
            return None
        live = hold(tensors)
        fits = gather(self.copies.fits(chosen, live), self.group)
        if not all(fits):
            return None
        self.parent, self.newest_step = parent, parent.step if parent else None
        return progresses.load(self.copies.read(chosen, live), fingerprint)

    # Restoring

    def begin(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Without a checkpoint: the values of the model that the job starts from, or those that were drawn."""
        if self.plan.weights is not None:
            read_weights(self.plan, tensors)

    def restore(
        self, tensors: Mapping[str, torch.Tensor], fingerprint: str
    ) -> tuple[Progress, CheckpointRef] | tuple[None, None]:
        """Fill the tensors from the newest checkpoint of the chain that is whole; None where there is none yet.

        What turns out damaged is quarantined and the one before it is read: never silently from scratch.
        """
        live = hold(tensors)
        while True:
            ref = self._newest()
            if ref is None:
                return None, None
            reader = self._open(ref)
            if reader is None:
                continue
            try:
                dcp.load(dict(live), storage_reader=reader, planner=LoadPlanner(), process_group=self.group)
            except CheckpointException as error:
                self._quarantine_or_raise(ref, error)
                continue
            self.parent, self.newest_step = ref, ref.step
            return progresses.load(reader.checkpoint.manifest.state, fingerprint), ref

    def _newest(self) -> CheckpointRef | None:
        """Rank 0 looks and checks that it fits, all hear the same."""

        def look() -> dict[str, Any] | None:
            found = self.store.newest()
            if found is None:
                return None
            progresses.refuse_another_model(found.manifest, self.plan)
            return found.ref.dump()

        answer = gather(_told(look) if dist.get_rank() == 0 else None, self.group)[0]
        if "refused" in answer:
            raise Refused(*(Problem(**problem) for problem in answer["refused"]))
        return CheckpointRef.model_validate(answer["value"]) if answer["value"] else None

    def _open(self, ref: CheckpointRef) -> Reader | None:
        """None if a rank found it damaged."""
        opened: list[Checkpoint] = []
        answers = gather(_told(lambda: opened.append(self.store.open(ref))), self.group)
        for answer in answers:
            if "refused" in answer:
                raise Refused(*(Problem(**problem) for problem in answer["refused"]))
            if "corrupt" in answer:
                self._quarantine(ref, answer["corrupt"])
                return None
        return Reader(opened[0])

    def _quarantine_or_raise(self, ref: CheckpointRef, error: CheckpointException) -> None:
        for cause, _ in error.failures.values():
            if isinstance(cause, Damaged):
                self._quarantine(ref, str(cause))
                return
        raise Refused(_problem(error)) from error

    def _quarantine(self, ref: CheckpointRef, reason: str) -> None:
        marked = gather(dist.get_rank() != 0 or self.store.quarantine(ref, reason), self.group)[0]
        if not marked:  # another job's: nothing lies before it on our chain
            raise Refused.of(
                "UTK0311",
                field="spec.resume.from",
                message=f"{ref} is damaged: {reason}",
                fix="name another checkpoint in resume.from, or none",
            )


def _told(ask: Callable[[], Any]) -> dict[str, Any]:
    """The answer, or why there is none, as something that can be told to other ranks."""
    try:
        return {"value": ask()}
    except Refused as refused:
        return {"refused": [problem.dump() for problem in refused.problems]}
    except Corrupt as corrupt:
        return {"corrupt": corrupt.reason}


def _problem(error: CheckpointException) -> Problem:
    """The first rank's reason, in its own words where it has some."""
    rank, (cause, _) = min(error.failures.items())
    if isinstance(cause, Rejected):
        return cause.refused().problem
    return Problem(
        code="UTK0308",
        field="spec.checkpoint.uri",
        message=f"rank {rank}: {type(cause).__name__}: {cause}",
        fix="look at the log of that rank",
    )
