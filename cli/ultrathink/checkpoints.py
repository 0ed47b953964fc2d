"""Checkpoints as a person asks for them: what lies below a URI, and whether every byte of it is right."""

from collections.abc import Iterator
from typing import Any

from ultrathink_api.errors import Refused
from ultrathink_store import CheckpointRef, JobStore, Verification, layout, listing, open_store, sweep
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


def pin(uri: str, step: int | None, settings: StorageSettings | None = None) -> str:
    """Holds on to a checkpoint, whatever retention says; its URI."""
    job, ref = _one(uri, step, settings)
    sweep.pin(job, ref)
    return ref.uri


def unpin(uri: str, step: int | None, settings: StorageSettings | None = None) -> str:
    """Lets retention decide about it again; its URI."""
    job, ref = _one(uri, step, settings)
    sweep.unpin(job, ref)
    return ref.uri


def find(uri: str, step: int | None, settings: StorageSettings | None = None) -> str:
    """The URI of the checkpoint that is meant. Refused if it does not say which."""
    return _one(uri, step, settings)[1].uri


def remove(uri: str, step: int | None, *, force: bool = False, settings: StorageSettings | None = None) -> str:
    """Deletes one checkpoint of a job that does not run; the URI that it had."""
    job, ref = _one(uri, step, settings)
    sweep.remove(job, ref, force=force)
    return ref.uri


def _one(uri: str, step: int | None, settings: StorageSettings | None) -> tuple[JobStore, CheckpointRef]:
    """The checkpoint at a URI, or the one of that step of the only job below it."""
    found = layout.address(uri)
    if found is not None:
        if step not in (None, found.step):
            raise Refused.of(
                "UTK0604",
                field="--step",
                message=f"{uri} is the checkpoint of step {found.step}, --step says {step}",
                fix="leave --step out, or name the job's folder",
            )
        job = JobStore(open_store(found.prefix, settings), found.uid)
        return job, job.ref(found.uid, found.epoch, found.step)
    jobs = list(listing.jobs(open_store(uri, settings)))
    if len(jobs) != 1 or step is None:
        raise Refused.of(
            "UTK0604",
            field="--uri",
            message=f"{uri} does not say which checkpoint" + (f": {len(jobs)} jobs are below it" if jobs else ""),
            fix="name one checkpoint by its URI, or a job's folder with --step",
        )
    job = jobs[0][1]
    return job, job.at_step(job.uid, step)


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
