"""Checkpoints as bytes: layout, commit, fencing, verification over file and S3. No torch, no ray, no numpy."""

from ultrathink_store.backend import StorageSettings, Store
from ultrathink_store.checkpoint import Checkpoint, Corrupt, Verification
from ultrathink_store.claims import Claim
from ultrathink_store.job import JobStore, open_job
from ultrathink_store.ledger import EpochTaken
from ultrathink_store.manifest import FileEntry, Manifest, Piece, TensorEntry
from ultrathink_store.opening import open_store, probe
from ultrathink_store.records import CheckpointRef, End, Epoch, Outcome, Start
from ultrathink_store.shards import Part, Shard, ShardWriter, merge

__all__ = [
    "Checkpoint",
    "CheckpointRef",
    "Claim",
    "Corrupt",
    "End",
    "Epoch",
    "EpochTaken",
    "FileEntry",
    "JobStore",
    "Manifest",
    "Outcome",
    "Part",
    "Piece",
    "Shard",
    "ShardWriter",
    "Start",
    "StorageSettings",
    "Store",
    "TensorEntry",
    "Verification",
    "merge",
    "open_job",
    "open_store",
    "probe",
]
