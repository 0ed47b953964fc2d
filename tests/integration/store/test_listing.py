"""Finding checkpoints by a URI alone, without knowing any uid."""

from collections.abc import Callable

from integration.store import saving
from ultrathink_store import JobStore, Start, Store
from ultrathink_store.listing import checkpoints, jobs, verify

JobOf = Callable[..., JobStore]


def rows(store: Store) -> list[tuple[str, str, int, str]]:
    return [(found.job, found.ref.uid, found.ref.step, found.state) for found in checkpoints(store)]


def test_an_empty_place_lists_nothing(store: Store) -> None:
    assert rows(store) == []
    assert list(verify(store)) == []


def test_all_jobs_below_a_uri_are_found(store: Store, job_of: JobOf) -> None:
    for name, namespace in (("moe", "team-a"), ("dense", "team-a"), ("moe", "team-b")):
        job = job_of(name=name, namespace=namespace)
        saving.save(job, saving.begin(job), 10)
    assert rows(store) == [
        ("team-a/dense", "uid-1", 10, "committed"),
        ("team-a/moe", "uid-1", 10, "committed"),
        ("team-b/moe", "uid-1", 10, "committed"),
    ]
    assert [(name, found.ok) for name, found in verify(store)] == [
        ("team-a/dense", True),
        ("team-a/moe", True),
        ("team-b/moe", True),
    ]


def test_a_jobs_own_folder_will_do(job_of: JobOf) -> None:
    job = job_of()
    saving.save(job, saving.begin(job), 10)
    found = next(checkpoints(job.store))
    assert (found.job, found.files, found.created_at) == ("moe", 2, saving.CREATED)
    assert found.bytes == sum(entry.size for entry in job.store.list() if entry.key.endswith(".safetensors"))
    assert [name for name, _ in jobs(job.store)] == ["moe"]


def test_each_checkpoint_says_whether_it_counts(store: Store, job_of: JobOf) -> None:
    old = job_of()
    for step in (10, 20, 30):
        saving.save(old, 1, step) if step > 10 else saving.save(old, saving.begin(old), step)
    new = job_of("uid-2")
    new.claim("moe@20")
    new.take_epoch(1, Start(epoch=1, parent=old.find("20"), created_at="now"))
    saving.save(new, 1, 25)
    new.quarantine(new.find("20"), "by hand")
    new.store.write("uid-1/epoch-1/step-10/MANIFEST.json", b"{}")
    assert rows(store) == [
        ("team-a/moe", "uid-2", 25, "committed"),
        ("team-a/moe", "uid-1", 20, "quarantined"),
        ("team-a/moe", "uid-1", 10, "corrupt"),
        ("team-a/moe", "uid-1", 30, "offChain"),
    ]
    reasons = {found.ref.step: found.problem for found in checkpoints(store)}
    assert reasons[20] == "by hand"
    assert "bad manifest" in reasons[10]


def test_verify_reads_every_byte_and_marks_nothing(store: Store, job_of: JobOf) -> None:
    job = job_of()
    saving.save(job, saving.begin(job), 10)
    saving.save(job, 1, 20)
    shard = "uid-1/epoch-1/step-20/shard-1.safetensors"
    job.store.write(shard, job.store.read(shard)[:-1] + b"\xff")
    assert [(found.ref.step, found.ok) for _, found in verify(store)] == [(20, False), (10, True)]
    assert job.quarantined(job.find("20")) is None


def test_an_owner_that_has_not_begun_shows_what_it_took_over(store: Store, job_of: JobOf) -> None:
    old = job_of()
    saving.save(old, saving.begin(old), 10)
    job_of("uid-2").claim("latest")
    assert rows(store) == [("team-a/moe", "uid-1", 10, "committed")]
