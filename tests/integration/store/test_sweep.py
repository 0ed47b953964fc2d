"""Retention on real stores: only the newest epoch deletes, what goes goes whole, and what holds on to a step holds."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.store import saving
from integration.store.children import Children, Place
from ultrathink_api.errors import Refused
from ultrathink_store import End, JobStore, Outcome, sweep
from ultrathink_store.retention import YOUNGEST, Keep

JobOf = Callable[..., JobStore]
Age = Callable[[], None]


@pytest.fixture
def age(place: Place, request: pytest.FixtureRequest) -> Age:
    """Makes all that is there now old enough, by the store's own clock."""
    if place.uri.startswith("file://"):
        root = Path(place.uri.removeprefix("file://"))
    else:
        server = request.getfixturevalue("s3_server")
        if os.environ.get("UTK_TEST_S3_ENDPOINT"):
            pytest.skip("the clock of a foreign server is not ours to turn")
        root = server.folder / "data" / request.getfixturevalue("s3_bucket")

    def turn() -> None:
        then = time.time() - 2 * YOUNGEST.total_seconds()
        for path in root.rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))

    return turn


@pytest.fixture
def job(job_of: JobOf, age: Age) -> JobStore:
    """Five old checkpoints of one attempt, and a young one."""
    job = job_of()
    saving.begin(job)
    for step in (10, 20, 30, 40, 50):
        saving.save(job, 1, step)
    age()
    saving.save(job, 1, 60)
    return job


def keys(job: JobStore) -> set[str]:
    return {entry.key for entry in job.store.list()}


def test_what_is_not_kept_is_gone_with_all_its_objects(job: JobStore) -> None:
    swept = sweep.sweep(job, 1, Keep(last=3))
    assert (swept.checkpoints, swept.leftovers) == (3, 0)
    assert swept.bytes > 0
    assert saving.steps(job) == [(1, 60), (1, 50), (1, 40)]
    assert not any(key.startswith(f"uid-1/epoch-1/step-{step}/") for step in (10, 20, 30) for key in keys(job))
    assert sweep.sweep(job, 1, Keep(last=3)) == sweep.Swept()
    assert all(job.verify(ref).ok for ref in job.chain().checkpoints())


def test_an_older_attempt_deletes_nothing(job: JobStore) -> None:
    saving.begin(job)
    with pytest.raises(Refused) as refusal:
        sweep.sweep(job, 1, Keep(last=2))
    assert refusal.value.problem.code == "UTK0315"
    assert len(saving.steps(job)) == 6


def test_a_job_whose_folder_was_taken_deletes_nothing(job: JobStore, job_of: JobOf) -> None:
    saving.begin(job_of("uid-2"), "latest")
    with pytest.raises(Refused) as refusal:
        sweep.sweep(job, 1, Keep(last=2))
    assert refusal.value.problem.code == "UTK0315"


def test_a_start_written_after_the_listing_is_read_before_the_deletion(
    job: JobStore, job_of: JobOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = sweep._links

    def and_then_somebody_takes_over(*given: object) -> object:
        links = listed(*given)  # type: ignore[arg-type]
        saving.begin(job_of())
        return links

    monkeypatch.setattr(sweep, "_links", and_then_somebody_takes_over)
    with pytest.raises(Refused):
        sweep.sweep(job, 1, Keep(last=2))
    assert len(saving.steps(job)) == 6


def test_what_an_attempt_started_from_stays(job: JobStore, age: Age) -> None:
    job.store.write("uid-1/epoch-1/step-60/QUARANTINED.json", b'{"reason":"damaged","foundAt":"then"}')
    epoch = saving.begin(job)
    assert job.epochs()[-1].start.parent == job.ref("uid-1", 1, 50)
    for step in (51, 52, 53):
        saving.save(job, epoch, step)
    age()
    saving.save(job, epoch, 54)
    sweep.sweep(job, epoch, Keep(last=2))
    assert saving.steps(job) == [(2, 54), (2, 53), (1, 50)]


def test_a_pinned_one_stays_until_it_is_unpinned(job: JobStore) -> None:
    ref = job.find("20")
    sweep.pin(job, ref)
    sweep.sweep(job, 1, Keep(last=2))
    assert saving.steps(job) == [(1, 60), (1, 50), (1, 20)]
    sweep.unpin(job, ref)
    assert sweep.sweep(job, 1, Keep(last=2)).checkpoints == 1


def test_what_is_not_there_cannot_be_pinned(job: JobStore) -> None:
    with pytest.raises(Refused) as refusal:
        sweep.pin(job, job.ref("uid-1", 1, 7))
    assert refusal.value.problem.code == "UTK0312"
    assert not any("PINNED" in key for key in keys(job))


def test_a_torn_upload_is_collected_later(job_of: JobOf, children: Children, age: Age) -> None:
    job = job_of()
    saving.begin(job)
    saving.save(job, 1, 10)
    torn = children.start("tear", epoch=1, step=20, whole=1, ranks=2)
    assert torn.hears() == "torn"
    torn.kill()
    age()
    for step in (30, 40):
        saving.save(job, 1, step)
    swept = sweep.sweep(job, 1, Keep(last=5))
    assert swept.leftovers == 1
    assert not any("step-20/" in key for key in keys(job))
    if job.store.uri.startswith("file://"):  # the age of an upload is the server's own; here it is a file's
        assert swept.unfinished == 1
        assert list(job.store.unfinished()) == []


def test_an_upload_that_nobody_will_end_can_be_found_and_thrown_away(job_of: JobOf, children: Children) -> None:
    job = job_of()
    saving.begin(job)
    torn = children.start("tear", epoch=1, step=20, whole=0, ranks=2)
    assert torn.hears() == "torn"
    torn.kill()
    (found,) = job.store.unfinished("uid-1")
    assert found.key.startswith("uid-1/epoch-1/step-20/")
    job.store.abort(found)
    job.store.abort(found)
    assert list(job.store.unfinished("uid-1")) == []


def test_a_manifest_that_came_late_is_collected(job: JobStore, age: Age) -> None:
    epoch = saving.begin(job)
    manifest = job.load_manifest(job.find("60"))
    shards = {key: job.store.read(key) for key in keys(job) if "step-60/shard" in key}
    for key, data in shards.items():
        job.store.write(key.replace("step-60", "step-70"), data)
    job.store.write("uid-1/epoch-1/step-70/MANIFEST.json", manifest.model_dump_json(by_alias=True).encode())
    age()
    for step in (61, 62):
        saving.save(job, epoch, step)
    sweep.sweep(job, epoch, Keep(last=9))
    assert not any("step-70/" in key for key in keys(job))
    assert (1, 60) in saving.steps(job)


def test_another_runs_checkpoints_are_not_ours_to_delete(job: JobStore, job_of: JobOf, age: Age) -> None:
    heir = job_of("uid-2")
    saving.begin(heir, "none")
    for step in (1, 2, 3):
        saving.save(heir, 1, step)
    age()
    saving.save(heir, 1, 4)
    sweep.sweep(heir, 1, Keep(last=2))
    assert saving.steps(heir) == [(1, 4), (1, 3)]
    assert len([key for key in keys(heir) if key.startswith("uid-1/") and key.endswith("MANIFEST.json")]) == 6


def test_nothing_is_removed_under_a_running_job(job: JobStore) -> None:
    with pytest.raises(Refused) as refusal:
        sweep.remove(job, job.find("10"))
    assert refusal.value.problem.code == "UTK0319"
    sweep.remove(job, job.find("10"), force=True)
    assert (1, 10) not in saving.steps(job)


def test_a_stopped_job_keeps_what_it_stands_on(job: JobStore) -> None:
    job.end_epoch(1, End(cause=None, ended_at="then"))
    for step in ("60", "50"):
        with pytest.raises(Refused) as refusal:
            sweep.remove(job, job.find(step))
        assert refusal.value.problem.code == "UTK0319"
    sweep.remove(job, job.find("40"))
    assert saving.steps(job)[:3] == [(1, 60), (1, 50), (1, 30)]


def test_of_a_job_that_is_over_anything_can_be_removed_but_what_is_pinned(job: JobStore) -> None:
    job.end_epoch(1, End(cause=None, ended_at="then"))
    job.write_outcome(Outcome(phase="Succeeded", step=60, attempts=1, ended_at="then"))
    sweep.pin(job, job.find("50"))
    with pytest.raises(Refused):
        sweep.remove(job, job.find("50"))
    sweep.remove(job, job.find("60"))
    found = job.newest()
    assert found is not None
    assert found.ref.step == 50, "the hint at the newest speaks of no loss"


def test_a_deleted_job_leaves_nothing_of_its_own(job: JobStore, job_of: JobOf) -> None:
    assert sweep.remove_all(job) == 6
    assert keys(job) == set()
    assert job_of("uid-2").claim(None).parent is None


def test_a_deleted_job_leaves_what_is_pinned_and_the_way_to_it(job: JobStore) -> None:
    sweep.pin(job, job.find("30"))
    assert sweep.remove_all(job) == 5
    assert saving.steps(job) == [(1, 30)]
    assert saving.restore(job) == 30


def test_what_went_before_is_not_deleted_with_its_heir(job: JobStore, job_of: JobOf) -> None:
    heir = job_of("uid-2")
    saving.begin(heir, "latest")
    saving.save(heir, 1, 70)
    sweep.remove_all(heir)
    assert all(key.startswith("uid-1/") for key in keys(heir))
    assert len(saving.steps(job)) == 6
    with pytest.raises(Refused):
        job_of("uid-3").claim(None)


def test_somebody_elses_folder_is_not_deleted(job: JobStore, job_of: JobOf) -> None:
    saving.begin(job_of("uid-2"), "latest")
    before = keys(job)
    with pytest.raises(Refused):
        sweep.remove_all(job)
    assert keys(job) == before
