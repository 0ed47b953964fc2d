"""Taking a job's folder, and what `resume.from` means: nothing is ever started from scratch in silence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultrathink_store import layout
from ultrathink_store.backend import Changed, Exists
from ultrathink_store.checkpoint import Corrupt
from ultrathink_store.records import CheckpointRef, Owner
from ultrathink_store.refusals import (
    checkpoint_corrupt,
    checkpoint_missing,
    checkpoints_exist,
    foreign,
    resume_unfit,
    superseded,
)

if TYPE_CHECKING:
    from ultrathink_store.job import JobStore

LATEST = "latest"
NONE = "none"
_JOB_AT_STEP = re.compile(r"([a-z][-a-z0-9]{0,62})@(0|[1-9][0-9]{0,11})")
_URI_AT_STEP = re.compile(r"(.+)@(0|[1-9][0-9]{0,11})")


@dataclass(frozen=True, slots=True)
class Claim:
    """The folder is ours. `parent` is what the next attempt starts from; None: from scratch, and that is meant."""

    uid: str
    previous: str | None
    parent: CheckpointRef | None
    epoch: int
    """The next epoch to take."""


def claim(job: JobStore, resume: str | None) -> Claim:
    """Every refusal comes before the owner changes; asked again after a crash, it gives the same answer."""
    found = job.ledger.owner()
    begun = bool(job.ledger.starts(job.uid))
    if found is None:
        previous = _left_behind(job)
        if previous is not None and not begun:
            _parent(job, resume, previous)
        try:
            job.ledger.create_owner(Owner(uid=job.uid, previous=previous))
        except Exists:
            return claim(job, resume)  # somebody was faster: now there is an owner to look at
        owner = Owner(uid=job.uid, previous=previous)
    elif found[0].uid != job.uid:
        if resume is None:
            raise checkpoints_exist(job.store.uri, found[0].uid)
        # An owner that never began left nothing; what counts is whom it took the folder from.
        before = found[0].uid if job.ledger.starts(found[0].uid) else found[0].previous
        owner = Owner(uid=job.uid, previous=before)
        if not begun:
            _parent(job, resume, owner.previous)
        try:
            job.ledger.replace_owner(owner, found[1])
        except Changed as lost:
            found = job.ledger.owner()  # a write whose answer was lost is done again, and finds itself
            if found is None or found[0] != owner:
                raise superseded(f"{job.store.uri} was taken by another job just now") from lost
    else:
        owner = found[0]
    return _claimed(job, resume, owner)


def _claimed(job: JobStore, resume: str | None, owner: Owner) -> Claim:
    newest = max(job.ledger.starts(job.uid), default=0)
    if newest:
        checkpoint = job.newest()
        parent = checkpoint.ref if checkpoint else None
    else:
        parent = _parent(job, resume, owner.previous)
    return Claim(owner.uid, owner.previous, parent, newest + 1)


def _left_behind(job: JobStore) -> str | None:
    """Whoever wrote here although no OWNER says so, since somebody lost it: the one with the youngest attempt."""
    attempts = [
        (max(start.created_at for start in starts.values()), uid)
        for uid in job.ledger.uids()
        if uid != job.uid and (starts := job.ledger.starts(uid))
    ]
    return max(attempts)[1] if attempts else None


def _parent(job: JobStore, resume: str | None, previous: str | None) -> CheckpointRef | None:
    """What the first attempt of a uid starts from."""
    if resume is None:
        if previous is not None:
            raise checkpoints_exist(job.store.uri, previous)
        return None
    if resume == NONE:
        return None
    if resume == LATEST:
        return _newest(job, previous) if previous else None
    if "://" in resume:
        return _at_uri(job, resume)
    found = _JOB_AT_STEP.fullmatch(resume)
    if found is None:
        raise resume_unfit(resume, "it is neither a word we know, nor JOB@STEP, nor a URI")
    name, step = found[1], int(found[2])
    folder, _, own = job.store.uri.rpartition("/")
    if name == own:
        if previous is None:
            raise checkpoint_missing(f"{job.store.uri} holds nothing of an earlier job")
        return _checked(job, job.at_step(previous, step))
    return _in_folder(job, f"{folder}/{name}", step)


def _at_uri(job: JobStore, uri: str) -> CheckpointRef | None:
    uri = uri.rstrip("/")
    if job.base and _inside(uri, job.base) and not _inside(uri, job.store.uri.rpartition("/")[0]):
        raise foreign(uri, job.base)
    if found := layout.address(uri):
        return _checked(job, CheckpointRef(uid=found.uid, epoch=found.epoch, step=found.step, uri=uri))
    if at_step := _URI_AT_STEP.fullmatch(uri):
        return _in_folder(job, at_step[1], int(at_step[2]))
    return _in_folder(job, uri, None)


def _in_folder(job: JobStore, uri: str, step: int | None) -> CheckpointRef | None:
    """A checkpoint of another job's folder: of one step, or its newest."""
    other = job.at(uri)
    owner = other.ledger.owner()
    if owner is None:
        raise checkpoint_missing(f"{uri} is no job's folder")
    if step is not None:
        return _checked(job, other.at_step(owner[0].uid, step))
    newest = _newest(other, owner[0].uid)
    if newest is None:
        raise checkpoint_missing(f"{uri} holds no checkpoint yet")
    return newest


def _newest(job: JobStore, uid: str) -> CheckpointRef | None:
    checkpoint = job.newest(uid)
    return checkpoint.ref if checkpoint else None


def _checked(job: JobStore, ref: CheckpointRef) -> CheckpointRef:
    """One that was asked for by name: valid, or refused; never silently another."""
    try:
        job.open(ref)
    except Corrupt as corrupt:
        if corrupt.absent:
            raise checkpoint_missing(f"{ref} does not exist") from corrupt
        raise checkpoint_corrupt(str(ref), [corrupt.reason]) from corrupt
    return ref


def _inside(uri: str, folder: str) -> bool:
    return uri == folder.rstrip("/") or uri.startswith(folder.rstrip("/") + "/")
