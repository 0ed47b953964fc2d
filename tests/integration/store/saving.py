"""A small checkpoint of several ranks, made the way a trainer makes one; used by tests and by their child processes."""

import hashlib
from collections.abc import Iterator

from ultrathink_store import CheckpointRef, JobStore, Manifest, Part, Shard, Start, merge

ROWS, COLUMNS = 4, 6
CREATED = "2026-01-01T00:00:00Z"


def content(uid: str, epoch: int, step: int, rank: int, size: int) -> bytes:
    """Bytes that tell which shard they are of."""
    seed = hashlib.sha256(f"{uid} {epoch} {step} {rank}".encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def parts(rank: int, ranks: int) -> list[Part]:
    """A rank's rows of one matrix; the first rank also holds a scalar."""
    rows = Part("layers.0.mlp.up.weight", "F32", (ranks * ROWS, COLUMNS), (rank * ROWS, 0), (ROWS, COLUMNS))
    return [rows, Part("optimizer.step", "I64", (), (), ())] if rank == 0 else [rows]


def write(job: JobStore, epoch: int, step: int, ranks: int) -> Iterator[Shard]:
    for rank in range(ranks):
        held = parts(rank, ranks)
        with job.shard_writer(epoch, step, rank, held) as writer:
            writer.write(content(job.uid, epoch, step, rank, sum(part.size for part in held)))
        yield writer.shard


def manifest(job: JobStore, epoch: int, step: int, shards: Iterator[Shard] | list[Shard]) -> Manifest:
    files, tensors = merge(shards)
    return Manifest(
        uid=job.uid, epoch=epoch, step=step, created_at=CREATED, files=files, tensors=tensors, state={"step": step}
    )


def save(job: JobStore, epoch: int, step: int, ranks: int = 2) -> CheckpointRef:
    return job.commit(epoch, step, manifest(job, epoch, step, write(job, epoch, step, ranks)))


def begin(job: JobStore, resume: str | None = None) -> int:
    """What a supervisor does at the start of an attempt; returns its epoch."""
    claim = job.claim(resume)
    job.take_epoch(claim.epoch, Start(epoch=claim.epoch, parent=claim.parent, created_at=CREATED))
    return claim.epoch


def steps(job: JobStore) -> list[tuple[int, int]]:
    """(epoch, step) of what a restore may read, newest first."""
    return [(ref.epoch, ref.step) for ref in job.chain().checkpoints()]


def restore(job: JobStore) -> int | None:
    """Reads every piece of the newest checkpoint, setting aside what is corrupt, as ranks do; returns its step."""
    from ultrathink_store import Corrupt

    while (checkpoint := job.newest()) is not None:
        try:
            for tensor in checkpoint.manifest.tensors.values():
                for piece in tensor.pieces:
                    checkpoint.read_piece(piece)
        except Corrupt as corrupt:
            job.quarantine(corrupt.ref, corrupt.reason)
            continue
        return checkpoint.ref.step
    return None
