"""A checkpoint that is not what it was: set aside, the one before is used, and no silent start from scratch."""

import json
from collections.abc import Callable

import pytest

from integration.store import saving
from ultrathink_api.errors import Refused
from ultrathink_store import Corrupt, JobStore, Store

JobOf = Callable[..., JobStore]
STEP = "uid-1/epoch-1/step-20"
SHARD = f"{STEP}/shard-1.safetensors"
MANIFEST = f"{STEP}/MANIFEST.json"
Damage = Callable[[Store], None]


def _flip(key: str, at: int) -> Damage:
    def flip(store: Store) -> None:
        data = bytearray(store.read(key))
        data[at] ^= 1
        store.write(key, bytes(data))

    return flip


def _forge(**values: object) -> Damage:
    def forge(store: Store) -> None:
        store.write(MANIFEST, json.dumps({**json.loads(store.read(MANIFEST)), **values}).encode())

    return forge


def _lie_about_size(store: Store) -> None:
    manifest = json.loads(store.read(MANIFEST))
    manifest["files"][1]["size"] += 10**9
    store.write(MANIFEST, json.dumps(manifest).encode())


DAMAGE: dict[str, Damage] = {
    "a shard cut short": lambda store: store.write(SHARD, store.read(SHARD)[:-1]),
    "a shard too long": lambda store: store.write(SHARD, store.read(SHARD) + b"\0"),
    "an empty shard": lambda store: store.write(SHARD, b""),
    "the first bit of the data flipped": _flip(SHARD, -saving.ROWS * saving.COLUMNS * 4),
    "the last bit of the data flipped": _flip(SHARD, -1),
    "a missing shard": lambda store: store.delete(SHARD),
    "the shard of another step": lambda store: store.write(SHARD, store.read(SHARD.replace("step-20", "step-10"))),
    "a missing manifest": lambda store: store.delete(MANIFEST),
    "an empty manifest": lambda store: store.write(MANIFEST, b""),
    "a manifest cut short": lambda store: store.write(MANIFEST, store.read(MANIFEST)[:-20]),
    "a pickle for a manifest": lambda store: store.write(MANIFEST, b"\x80\x04\x95cposix\nsystem\n"),
    "the manifest of another step": lambda store: store.write(MANIFEST, store.read(f"{STEP[:-2]}10/MANIFEST.json")),
    "the manifest of another job": _forge(uid="uid-9"),
    "the manifest of another epoch": _forge(epoch=9),
    "a manifest that lies about a size": _lie_about_size,
}


@pytest.mark.fault("F46")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_the_damaged_is_set_aside_and_the_one_before_is_used(job: JobStore, damage: Damage) -> None:
    newest = job.find("20")
    damage(job.store)
    assert not job.verify(newest).ok
    assert saving.restore(job) == 10
    assert saving.steps(job) == [(1, 10)]
    assert job.quarantined(newest) is not None, "marked beside its manifest"
    assert job.store.head(f"{STEP}/shard-0.safetensors") is not None, "nothing is deleted"
    again = saving.begin(job)
    saving.save(job, again, 20)
    assert saving.restore(job) == 20


@pytest.mark.fault("F46")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_zero_valid_of_some_is_refused(job_of: JobOf, damage: Damage) -> None:
    job = job_of()
    saving.begin(job)
    saving.save(job, 1, 10)
    job.store.write("uid-1/epoch-1/step-10/QUARANTINED.json", b'{"reason":"found before","foundAt":"then"}')
    saving.save(job, 1, 20)
    damage(job.store)
    for _ in range(2):  # and again, when all are marked
        with pytest.raises(Refused) as refusal:
            saving.restore(job)
        assert refusal.value.problem.code == "UTK0311"
    with pytest.raises(Refused) as refusal:
        job.claim(None)
    assert refusal.value.problem.code == "UTK0311"


def test_a_flipped_bit_in_a_header_is_found_by_verify(job: JobStore) -> None:
    newest = job.find("20")
    _flip(SHARD, 12)(job.store)
    assert "shard-1.safetensors" in job.verify(newest).problem


def test_whoever_finds_damage_says_what_and_where(job: JobStore) -> None:
    told: list[Corrupt] = []
    DAMAGE["a shard cut short"](job.store)
    found = job.newest(on_corrupt=told.append)
    assert found is not None
    assert found.ref.step == 10
    assert [(corrupt.ref.step, "shard-1.safetensors has" in corrupt.reason) for corrupt in told] == [(20, True)]


def test_a_parent_whose_manifest_is_gone_is_a_loss_and_not_a_beginning(job: JobStore) -> None:
    saving.begin(job)
    for step in (10, 20):
        job.store.delete(f"uid-1/epoch-1/step-{step}/MANIFEST.json")
    job.store.delete("uid-1/LATEST")
    with pytest.raises(Refused) as refusal:
        job.newest()
    assert refusal.value.problem.code == "UTK0311"


def test_a_hint_that_nobody_can_read_hurts_nobody(job: JobStore) -> None:
    for hint in (b"", b"../../x", b'{"uid":"uid-1","epoch":7,"step":70}'):
        job.store.write("uid-1/LATEST", hint)
        assert saving.restore(job) == 20


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"epoch":2,"createdAt":""}', id="of another epoch"),
        pytest.param(b'{"epoch":1,"createdAt":"","parent":{"uid":"uid-1","epoch":1,"step":10}}', id="its own parent"),
        pytest.param(b'{"epoch":1,"createdAt":"","parent":{"uid":"uid-1","epoch":5,"step":10}}', id="a later parent"),
        pytest.param(b'{"epoch":1,"createdAt":"","parent":{"uid":"../x","epoch":1,"step":10}}', id="a parent above"),
        pytest.param(b'{"epoch":1,"createdAt":"","parent":{"uid":"uid-9","epoch":1,"step":10}}', id="a parent nowhere"),
    ],
)
def test_a_broken_chain_is_refused_and_never_guessed(job: JobStore, job_of: JobOf, start: bytes) -> None:
    for step in (10, 20):  # nothing to find before the chain breaks
        job.store.delete(f"uid-1/epoch-1/step-{step}/MANIFEST.json")
    job.store.write("uid-1/epoch-1/START.json", start)
    with pytest.raises(Refused) as refusal:
        job_of().newest()
    assert refusal.value.problem.code == "UTK0313"


def test_an_owner_that_cannot_be_read_is_refused(job: JobStore) -> None:
    job.store.write("OWNER", b"{}")
    with pytest.raises(Refused) as refusal:
        job.claim("latest")
    assert refusal.value.problem.code == "UTK0313"


def test_folders_that_are_not_ours_are_passed_by(job: JobStore) -> None:
    for name in ("epoch-x/START.json", "epoch-01/START.json", "epoch--1/START.json", "epoch-1/step-07/MANIFEST.json"):
        job.store.create(f"uid-1/{name.replace('--', '-_')}", b"garbage")
    assert saving.steps(job) == [(1, 20), (1, 10)]
