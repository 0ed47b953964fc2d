"""A checkpoint's model, tensor by tensor: what export and evaluation read, without a run."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch

from ultrathink_api.errors import Refused
from ultrathink_planner import ModelShape
from ultrathink_store import Checkpoint, CheckpointRef, Corrupt, JobStore, layout, listing, open_store

from ..model.families.family import tensor_shapes
from .planners import window
from .storage import DTYPES

NEWEST = "latest"


@dataclass(frozen=True)
class StoredModel:
    """A model in a checkpoint."""

    ref: CheckpointRef
    shape: ModelShape
    checkpoint: Checkpoint

    def read(self, name: str) -> torch.Tensor:
        """One tensor by its name, put together from its pieces; KeyError where the checkpoint has none."""
        entry = self.checkpoint.manifest.tensors[name]
        whole = torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
        for piece in entry.pieces:
            try:
                data = bytearray(self.checkpoint.read_piece(piece))
            except Corrupt as corrupt:
                raise _corrupt(corrupt) from corrupt
            if prod(piece.shape):
                part = torch.frombuffer(data, dtype=DTYPES[entry.dtype]).view(piece.shape)
                window(whole, torch.Size(piece.offsets), torch.Size(piece.shape)).copy_(part)
        return whole


def open_stored(address: str) -> StoredModel:
    """The model at `URI[@STEP]`: a job's checkpoint.uri or folder, its newest checkpoint or the one of that step;
    or the URI of one checkpoint."""
    uri, step = _split(address)
    try:
        ref, job = _find(uri, step)
        checkpoint = job.open(ref)
    except Corrupt as corrupt:
        raise _corrupt(corrupt) from corrupt
    shape = ModelShape.model_validate(checkpoint.manifest.model)
    missing = [name for name in tensor_shapes(shape) if name not in checkpoint.manifest.tensors]
    assert not missing, f"{ref} lacks {missing}"
    return StoredModel(ref, shape, checkpoint)


def _split(address: str) -> tuple[str, str]:
    uri, at, step = address.rpartition("@")
    return (uri, step) if at and step.isdecimal() else (address, NEWEST)


def _find(uri: str, step: str) -> tuple[CheckpointRef, JobStore]:
    one = layout.address(uri)
    if one is not None:
        job = JobStore(open_store(one.prefix), one.uid, read_only=True)
        return CheckpointRef(uid=one.uid, epoch=one.epoch, step=one.step, uri=uri.rstrip("/")), job
    found = list(_jobs(uri))
    if not found:
        raise Refused.of(
            "UTK0312",
            field="--uri",
            message=f"there is no checkpoint below {uri}",
            fix="name a job's checkpoint.uri, its folder, or one checkpoint",
        )
    if len(found) > 1:
        names = ", ".join(name for name, _ in found)
        raise Refused.of(
            "UTK0312", field="--uri", message=f"{uri} holds several jobs: {names}", fix="name the folder of one of them"
        )
    job = found[0][1]
    return job.find(step), job


def _jobs(uri: str) -> Iterator[tuple[str, JobStore]]:
    yield from listing.jobs(open_store(uri))


def _corrupt(corrupt: Corrupt) -> Refused:
    return Refused.of(
        "UTK0311",
        field="--uri",
        message=f"{corrupt.ref} is damaged: {corrupt.reason}",
        fix="name another checkpoint; `utk checkpoints verify` says which are whole",
    )
