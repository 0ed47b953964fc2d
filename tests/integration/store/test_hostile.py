"""Whoever can write to the bucket writes what he likes: nothing of it is run, and nothing of another run is read."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from integration.store import saving
from ultrathink_api.errors import Refused
from ultrathink_store import JobStore

JobOf = Callable[..., JobStore]
STEP = "uid-1/epoch-1/step-20"
PLACES = [
    f"{STEP}/shard-0.safetensors",
    f"{STEP}/MANIFEST.json",
    f"{STEP}/metadata",
    f"{STEP}/rng.pt",
    f"{STEP}/loader.pkl",
    f"{STEP}/QUARANTINED.json",
    "uid-1/epoch-1/START.json",
    "uid-1/epoch-1/END.json",
    "uid-1/LATEST",
    "uid-1/OUTCOME.json",
    "OWNER",
]
"""Each object that is read, and those that other trainers keep as pickles."""


class Canary:
    """As a pickle it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o700)


def everything(job: JobStore) -> None:
    """What a supervisor and a command line do with a folder; a refusal is as good as an answer."""
    for act in (
        lambda: job.verify(job.find("20")),
        lambda: saving.restore(job),
        lambda: saving.steps(job),
        lambda: saving.begin(job, "latest"),
        lambda: saving.restore(job),
    ):
        with suppress(Refused, KeyError):
            act()


@pytest.mark.fault("N33")
@pytest.mark.parametrize("key", PLACES)
def test_a_pickle_in_the_place_of_any_object_is_never_run(job: JobStore, tmp_path: Path, key: str) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(Canary(canary))
    job.store.write(key, payload)
    everything(job)
    assert not canary.exists()
    pickle.loads(payload)  # noqa: S301
    assert canary.exists(), "it would have been, had anybody unpickled it"


@pytest.mark.fault("N33")
def test_a_pickle_for_the_state_of_loader_and_generators_is_text_and_stays_it(job: JobStore, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    manifest = json.loads(job.store.read(f"{STEP}/MANIFEST.json"))
    manifest["state"] = {"step": 20, "rng": pickle.dumps(Canary(canary)).decode("latin-1")}
    job.store.write(f"{STEP}/MANIFEST.json", json.dumps(manifest).encode())
    everything(job)
    assert not canary.exists()


@pytest.fixture
def theirs(job_of: JobOf) -> bytes:
    """A shard of another run: the same size, the same tensors, the same step."""
    other = job_of(uid="uid-2", name="other")
    saving.save(other, saving.begin(other), 20)
    return other.store.read("uid-2/epoch-1/step-20/shard-1.safetensors")


@pytest.mark.fault("N37")
def test_a_shard_of_another_run_is_not_read(job: JobStore, theirs: bytes) -> None:
    job.store.write(f"{STEP}/shard-1.safetensors", theirs)
    checked = job.verify(job.find("20"))
    assert not checked.ok and "shard-1.safetensors" in checked.problem
    assert saving.restore(job) == 10


@pytest.mark.fault("N37")
def test_verify_finds_it_even_under_a_manifest_that_was_forged_to_name_its_hashes(job: JobStore, theirs: bytes) -> None:
    manifest = json.loads(job.store.read(f"{STEP}/MANIFEST.json"))
    assert manifest["files"][1]["size"] == len(theirs)
    forge(manifest, manifest["files"][1], theirs)
    job.store.write(f"{STEP}/shard-1.safetensors", theirs)
    job.store.write(f"{STEP}/MANIFEST.json", json.dumps(manifest).encode())
    checked = job.verify(job.find("20"))
    assert not checked.ok and "written for another checkpoint" in checked.problem


def forge(manifest: dict[str, object], entry: dict[str, object], shard: bytes) -> None:
    """The manifest says of the other run's bytes what is true of them."""
    entry["sha256"] = hashlib.sha256(shard).hexdigest()
    tensors = manifest["tensors"]
    assert isinstance(tensors, dict)
    for tensor in tensors.values():
        for piece in tensor["pieces"]:
            if piece["file"] == entry["name"]:
                held = shard[piece["start"] : piece["start"] + piece["length"]]
                piece["sha256"] = hashlib.sha256(held).hexdigest()
