"""Checkpoints as a person asks for them: what lies below a URI, and whether every byte of it is right."""

from collections.abc import Iterator
from typing import Any

from ultrathink_api.errors import Refused
from ultrathink_store import CheckpointRef, JobStore, Verification, layout, listing, open_store
from ultrathink_store.backend import StorageSettings


def listed(uri: str, settings: StorageSettings | None = None) -> Iterator[dict[str, Any]]:
    """Every checkpoint below a job's `checkpoint.uri` or a job's folder, newest first."""
    for entry in listing.checkpoints(open_store(uri, settings)):
        said = {
            "job": entry.job,
            **_of(entry.ref),
            "state": entry.state,
            "files": entry.files,
            "bytes": entry.bytes,
            "createdAt": entry.created_at,
        }
        yield {**said, "problem": entry.problem} if entry.problem else said


def verified(uri: str, settings: StorageSettings | None = None) -> Iterator[dict[str, Any]]:
    """The same with every byte read and compared; also for the URI of one checkpoint. Refused if there is none."""
    found = False
    for job, result in _verifications(uri, settings):
        found = True
        said = {
            "job": job,
            **_of(result.ref),
            "verified": result.ok,
            "files": result.files,
            "bytes": result.bytes,
        }
        yield said if result.ok else {**said, "problem": result.problem}
    if not found:
        raise Refused.of(
            "UTK0312",
            field="--uri",
            message=f"there is no checkpoint below {uri}",
            fix="name a job's checkpoint.uri, its folder, or one checkpoint",
        )


def _verifications(uri: str, settings: StorageSettings | None) -> Iterator[tuple[str, Verification]]:
    one = layout.address(uri)
    if one is None:
        yield from listing.verify(open_store(uri, settings))
        return
    store = open_store(one.prefix, settings)
    ref = CheckpointRef(uid=one.uid, epoch=one.epoch, step=one.step, uri=uri.rstrip("/"))
    result = JobStore(store, one.uid, read_only=True).verify(ref)
    yield one.prefix.rpartition("/")[2], result


def _of(ref: CheckpointRef) -> dict[str, Any]:
    return {"uid": ref.uid, "attempt": ref.epoch, "step": ref.step, "uri": ref.uri}
