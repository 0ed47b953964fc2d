"""What lies below a URI: jobs and their checkpoints, found without knowing anybody's uid. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ultrathink_store import layout
from ultrathink_store.backend import Store
from ultrathink_store.chain import Link
from ultrathink_store.checkpoint import Corrupt, Verification
from ultrathink_store.job import JobStore
from ultrathink_store.ledger import Ledger
from ultrathink_store.records import CheckpointRef

State = Literal["committed", "corrupt", "quarantined", "lost", "offChain"]
DEPTH = 2
"""Folders between a checkpoint.uri and a job: namespace and name."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One manifest that was found."""

    job: str
    """Path of the job below the URI: namespace/name, or name; the name alone where the URI is the job's folder."""
    ref: CheckpointRef
    state: State
    files: int
    bytes: int
    created_at: str
    problem: str = ""


def jobs(store: Store) -> Iterator[tuple[str, JobStore]]:
    """Each job below a checkpoint.uri, or the one whose folder it is, seen by its present owner."""
    if store.head(layout.OWNER) is not None:
        yield store.uri.rpartition("/")[2], _owned(store)
        return
    yield from _below(store, "", DEPTH)


def checkpoints(store: Store) -> Iterator[Listed]:
    """Every manifest below a URI, newest first in each job: those on the chain, then those that are off it."""
    for name, job in jobs(store):
        yield from _listed(name, job)


def verify(store: Store) -> Iterator[tuple[str, Verification]]:
    """Reads every byte of every checkpoint that a restore could take."""
    for name, job in jobs(store):
        for link in _links(job):
            if link.state != "quarantined":
                yield name, job.verify(link.ref)


def _below(store: Store, folder: str, depth: int) -> Iterator[tuple[str, JobStore]]:
    for name in filter(layout.is_name, store.folders(folder)):
        path = f"{folder}/{name}" if folder else name
        if store.head(f"{path}/{layout.OWNER}") is not None:
            yield path, _owned(store.other(f"{store.uri}/{path}"))
        elif depth > 1:
            yield from _below(store, path, depth - 1)


def _owned(store: Store) -> JobStore:
    owner = Ledger(store).owner()
    assert owner is not None, "an OWNER is replaced, never removed"
    return JobStore(store, owner[0].uid, read_only=True)


def _listed(name: str, job: JobStore) -> Iterator[Listed]:
    seen: set[CheckpointRef] = set()
    for link in _links(job):
        seen.add(link.ref)
        yield _entry(name, job, link.ref, link.state)
    for ref in sorted(job.committed(), key=lambda ref: (ref.uid, ref.epoch, ref.step), reverse=True):
        if ref not in seen:
            yield _entry(name, job, ref, "offChain")


def _links(job: JobStore) -> Iterator[Link]:
    """The chain as far as it lies in the job's own folder; of an owner that has not begun, its predecessor's."""
    owner = job.ledger.owner()
    begun = bool(job.ledger.starts(job.uid))
    uid = job.uid if begun or owner is None else owner[0].previous
    if uid is None:
        return
    yield from (link for link in job.chain(uid).links() if job.is_ours(link.ref))


def _entry(name: str, job: JobStore, ref: CheckpointRef, state: State) -> Listed:
    try:
        manifest = job.load_manifest(ref)
    except Corrupt as corrupt:
        return Listed(name, ref, "corrupt" if state == "committed" else state, 0, 0, "", corrupt.reason)
    reason = job.quarantined(ref) if state == "quarantined" else None
    return Listed(
        name,
        ref,
        state,
        len(manifest.files),
        manifest.size,
        manifest.created_at,
        reason.reason if reason else "",
    )
