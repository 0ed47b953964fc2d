"""Deleting what retention lets go, and the pins that hold on to a step. Only the newest epoch of the owner sweeps."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from ultrathink_api.errors import Refused
from ultrathink_store import layout
from ultrathink_store.backend import Entry
from ultrathink_store.chain import Chain, Link
from ultrathink_store.job import JobStore
from ultrathink_store.records import CheckpointRef, Pinned, encode
from ultrathink_store.refusals import checkpoint_in_use, checkpoint_missing, superseded
from ultrathink_store.retention import YOUNGEST, Address, Keep, StepFolder, collectable, protected


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass deleted."""

    checkpoints: int = 0
    leftovers: int = 0
    """Steps without a manifest: torn uploads."""
    unfinished: int = 0
    """Uploads that nobody will end."""
    bytes: int = 0


def sweep(job: JobStore, epoch: int, keep: Keep) -> Swept:
    """One pass over this uid's folder. Refused if `epoch` is not the newest any more.

    Age is judged by the store's own clock: by its youngest object, so that no clock of ours can delete too early.
    """
    entries = list(job.store.list(job.uid))
    if not entries:
        return Swept()
    now = max(entry.modified for entry in entries)
    folders, sizes = _folders(job, entries)
    links = _links(job, folders, entries)
    named = _named_now(job, epoch)
    doomed = collectable(folders.values(), links, named, epoch=epoch, keep=keep, now=now)
    checkpoints = leftovers = freed = 0
    for folder in doomed:
        if folder.address in _named_now(job, epoch) or _is_pinned(job, folder):
            continue
        _delete_folder(job, folder.keys)
        checkpoints += folder.committed
        leftovers += not folder.committed
        freed += sizes[folder.address]
    return Swept(checkpoints, leftovers, _abort_stale(job, epoch, folders, now), freed)


def pin(job: JobStore, ref: CheckpointRef) -> None:
    """Holds on to a checkpoint until it is unpinned, whatever retention says."""
    job.store.write(_key(ref, layout.PINNED), encode(Pinned(pinned_at=job.now())))
    if job.store.head(_key(ref, layout.MANIFEST)) is None:
        job.store.delete(_key(ref, layout.PINNED))
        raise checkpoint_missing(f"{ref} is not there")


def unpin(job: JobStore, ref: CheckpointRef) -> None:
    """Lets retention decide again."""
    if job.store.head(_key(ref, layout.MANIFEST)) is None:
        raise checkpoint_missing(f"{ref} is not there")
    job.store.delete(_key(ref, layout.PINNED))


def remove(job: JobStore, ref: CheckpointRef, *, force: bool = False) -> None:
    """Deletes one checkpoint because somebody said so: not under a running job, nor what a stopped one stands on.

    `force` takes an attempt that never said its end for a dead one.
    """
    entries = list(job.store.list(layout.step_folder(ref.uid, ref.epoch, ref.step)))
    if not entries:
        raise checkpoint_missing(f"{ref} is not there")
    if job.store.head(_key(ref, layout.PINNED)) is not None:
        raise checkpoint_in_use(f"{ref} is pinned", "unpin it first")
    epochs = job.ledger.epochs(ref.uid)
    if job.outcome_of(ref.uid) is None and epochs:
        if epochs[-1].end is None and not force:
            raise checkpoint_in_use(
                f"attempt {epochs[-1].number} of {ref.uid} has not ended",
                "stop the job first, or say --force if its attempt died without a word",
            )
        links = list(job.chain(ref.uid).links())
        if (ref.uid, ref.epoch, ref.step) in protected(links, _named(job, ref.uid), Keep(last=0)):
            raise checkpoint_in_use(
                f"{ref} is one of the two newest, or an attempt started from it", "remove an older one"
            )
    _delete_folder(job, tuple(entry.key for entry in entries))
    _mend_latest(job, ref)


def remove_all(job: JobStore) -> int:
    """Deletes this uid's folder, and OWNER with it, when the job itself is deleted; the number of checkpoints.

    What is pinned stays, and then so does the ledger that leads to it. Other uids' folders are never touched.
    """
    owner = job.ledger.owner()
    if owner is not None and owner[0].uid != job.uid:
        raise superseded(f"{job.store.uri} belongs to {owner[0].uid}: nothing of it is deleted for {job.uid}")
    entries = list(job.store.list(job.uid))
    folders, _ = _folders(job, entries)
    job.store.delete(f"{job.uid}/{layout.LATEST}")  # first: it would speak of a loss
    for folder in folders.values():
        if not folder.pinned:
            _delete_folder(job, folder.keys)
    for found in job.store.unfinished(job.uid):
        job.store.abort(found)
    removed = sum(folder.committed and not folder.pinned for folder in folders.values())
    if any(folder.pinned for folder in folders.values()):
        return removed
    inside = {key for folder in folders.values() for key in folder.keys}
    for entry in entries:
        if entry.key not in inside:
            job.store.delete(entry.key)
    job.store.delete(layout.OWNER)
    return removed


def pinned(job: JobStore, ref: CheckpointRef) -> bool:
    return job.store.head(_key(ref, layout.PINNED)) is not None


def _folders(job: JobStore, entries: list[Entry]) -> tuple[dict[Address, StepFolder], dict[Address, int]]:
    inside: dict[Address, list[Entry]] = {}
    for entry in entries:
        address = _address(entry.key)
        if address is not None:
            inside.setdefault(address, []).append(entry)
    folders = {address: _folder(address, found) for address, found in inside.items()}
    return folders, {address: sum(entry.size for entry in found) for address, found in inside.items()}


def _folder(address: Address, entries: list[Entry]) -> StepFolder:
    names = {entry.key.rpartition("/")[2] for entry in entries}
    return StepFolder(
        *address,
        committed=layout.MANIFEST in names,
        pinned=layout.PINNED in names,
        touched=max(entry.modified for entry in entries),
        keys=tuple(entry.key for entry in entries),
    )


def _address(key: str) -> Address | None:
    """Of what lies right in a step's folder."""
    parts = key.split("/")
    if len(parts) != 4:
        return None
    epoch, step = layout.epoch_number(parts[1]), layout.step_number(parts[2])
    return None if epoch is None or step is None else (parts[0], epoch, step)


def _links(job: JobStore, folders: Mapping[Address, StepFolder], entries: list[Entry]) -> list[Link]:
    """The whole chain, of this uid by the listing that is judged."""
    marked = {_address(entry.key) for entry in entries if entry.key.endswith(f"/{layout.QUARANTINED}")}

    def steps(uid: str, epoch: int) -> list[tuple[int, bool]]:
        if uid != job.uid:
            return job.steps(uid, epoch)
        return [
            (folder.step, folder.address in marked)
            for folder in folders.values()
            if folder.epoch == epoch and folder.committed
        ]

    return list(Chain(job.uid, job.ledger.starts, steps, job.ref).links())


def _named_now(job: JobStore, epoch: int) -> set[Address]:
    """What any START names, read anew; refused when one is newer than ours: then the newer attempt sweeps."""
    job.refuse_if_superseded(epoch, "delete")
    return _named(job, job.uid)


def _named(job: JobStore, uid: str) -> set[Address]:
    parents = (start.parent for start in job.ledger.starts(uid).values())
    return {(parent.uid, parent.epoch, parent.step) for parent in parents if parent is not None and job.is_ours(parent)}


def _is_pinned(job: JobStore, folder: StepFolder) -> bool:
    """Asked again right before the deletion: a pin may be younger than the listing."""
    return job.store.head(f"{layout.step_folder(*folder.address)}/{layout.PINNED}") is not None


def _delete_folder(job: JobStore, keys: tuple[str, ...]) -> None:
    """The manifest first: from then on it is a torn upload, whatever becomes of us."""
    for key in sorted(keys, key=lambda key: not key.endswith(f"/{layout.MANIFEST}")):
        job.store.delete(key)


def _abort_stale(job: JobStore, epoch: int, folders: Mapping[Address, StepFolder], now: datetime) -> int:
    """Uploads of attempts that are over, and of steps that this one is past."""
    arrived = max((f.step for f in folders.values() if f.epoch == epoch and f.committed), default=-1)
    aborted = 0
    for found in job.store.unfinished(job.uid):
        address = _address(found.key)
        over = address is None or address[1] < epoch or (address[1] == epoch and address[2] < arrived)
        if over and now - found.began >= YOUNGEST:
            job.store.abort(found)
            aborted += 1
    return aborted


def _mend_latest(job: JobStore, gone: CheckpointRef) -> None:
    """The hint must not speak of what was removed on purpose: it would look like a loss."""
    latest = job.ledger.latest(gone.uid)
    if latest is None or (latest.epoch, latest.step) != (gone.epoch, gone.step):
        return
    key = f"{gone.uid}/{layout.LATEST}"
    with suppress(Refused):
        left: Iterator[CheckpointRef] = (ref for ref in job.chain(gone.uid).checkpoints() if ref.uid == gone.uid)
        ref = next(left, None)
        if ref is not None:
            job.store.write(key, encode(ref.model_copy(update={"uri": ""})))
            return
    job.store.delete(key)


def _key(ref: CheckpointRef, name: str) -> str:
    return f"{layout.step_folder(ref.uid, ref.epoch, ref.step)}/{name}"
