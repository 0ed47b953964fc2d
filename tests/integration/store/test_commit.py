"""What is committed is read, whole; what is not, or not by right, never is. On a folder and on a real S3 server."""

from collections.abc import Callable

import pytest

from integration.store import saving
from integration.store.children import Children
from ultrathink_api.errors import Refused
from ultrathink_store import Corrupt, JobStore, Start, Store
from ultrathink_store.ledger import EpochTaken
from ultrathink_store.records import End, Outcome

JobOf = Callable[..., JobStore]
RANKS = 3


def code(refusal: pytest.ExceptionInfo[Refused]) -> str:
    return refusal.value.problem.code


def test_a_committed_checkpoint_comes_back_bit_by_bit(job_of: JobOf) -> None:
    job = job_of()
    ref = saving.save(job, saving.begin(job), 10)
    checkpoint = job.open(ref)
    rows = checkpoint.manifest.tensors["layers.0.mlp.up.weight"]
    size = saving.ROWS * saving.COLUMNS * 4
    for rank, piece in enumerate(rows.pieces):
        assert checkpoint.read_piece(piece) == saving.content(job.uid, 1, 10, rank, size + 8 * (rank == 0))[:size]
    assert checkpoint.manifest.state == {"step": 10}
    assert job.verify(ref).ok
    assert job.find("latest") == job.find("10") == job.find(ref.uri) == ref


def test_the_newest_comes_first_over_all_attempts(job_of: JobOf) -> None:
    job = job_of()
    saving.save(job, saving.begin(job), 10)
    saving.save(job, 1, 20)
    saving.save(job, saving.begin(job), 30)
    assert saving.steps(job) == [(2, 30), (1, 20), (1, 10)]
    assert [(e.number, e.start.parent and e.start.parent.step) for e in job.epochs()] == [(1, None), (2, 20)]


@pytest.mark.parametrize("whole", range(RANKS + 1))
def test_a_torn_upload_is_invisible(job_of: JobOf, children: Children, whole: int) -> None:
    job = job_of()
    saving.save(job, saving.begin(job), 10, RANKS)
    child = children.start("tear", epoch=1, step=20, whole=whole, ranks=RANKS)
    assert child.hears() == "torn"
    child.kill()
    assert saving.steps(job) == [(1, 10)]
    assert saving.restore(job) == 10
    again = saving.begin(job)
    saving.save(job, again, 20, RANKS)
    assert saving.steps(job) == [(2, 20), (1, 10)]
    assert saving.restore(job) == 20


def test_a_shard_is_never_written_twice(job_of: JobOf) -> None:
    job = job_of()
    saving.begin(job)
    list(saving.write(job, 1, 10, 1))
    with pytest.raises(Refused) as refusal:
        list(saving.write(job, 1, 10, 1))
    assert code(refusal) == "UTK0316"


def test_a_step_is_never_committed_twice(job_of: JobOf) -> None:
    job = job_of()
    saving.begin(job)
    shards = list(saving.write(job, 1, 10, 2))
    first = saving.manifest(job, 1, 10, shards)
    assert job.commit(1, 10, first) == job.commit(1, 10, first), "an answer that was lost may be asked for again"
    with pytest.raises(Refused) as refusal:
        job.commit(1, 10, first.model_copy(update={"state": {"step": 11}}))
    assert code(refusal) == "UTK0316"
    assert job.open(job.find("10")).manifest.state == {"step": 10}


def test_a_commit_with_a_missing_shard_is_refused(job_of: JobOf) -> None:
    job = job_of()
    saving.begin(job)
    manifest = saving.manifest(job, 1, 10, saving.write(job, 1, 10, 2))
    job.store.delete("uid-1/epoch-1/step-10/shard-1.safetensors")
    with pytest.raises(Refused, match=r"shard-1.safetensors is missing") as refusal:
        job.commit(1, 10, manifest)
    assert code(refusal) == "UTK0317"
    assert saving.steps(job) == []


def test_a_commit_of_another_steps_shards_is_refused(job_of: JobOf) -> None:
    """A shard says in its own header which checkpoint it was written for."""
    job = job_of()
    saving.begin(job)
    manifest = saving.manifest(job, 1, 10, saving.write(job, 1, 10, 2))
    for rank in range(2):
        name = f"shard-{rank}.safetensors"
        job.store.create(f"uid-1/epoch-1/step-11/{name}", job.store.read(f"uid-1/epoch-1/step-10/{name}"))
    with pytest.raises(Refused, match="written for another checkpoint") as refusal:
        job.commit(1, 11, manifest.model_copy(update={"step": 11}))
    assert code(refusal) == "UTK0317"


@pytest.mark.fault("F48")
def test_an_older_attempt_may_not_commit(job_of: JobOf) -> None:
    job = job_of()
    saving.begin(job)
    manifest = saving.manifest(job, 1, 10, saving.write(job, 1, 10, 2))
    saving.begin(job)
    with pytest.raises(Refused, match="newest attempt is 2") as refusal:
        job.commit(1, 10, manifest)
    assert code(refusal) == "UTK0315"


@pytest.mark.fault("F48")
def test_a_job_whose_folder_was_taken_may_neither_commit_nor_begin(job_of: JobOf) -> None:
    old, new = job_of("uid-1"), job_of("uid-2")
    saving.begin(old)
    manifest = saving.manifest(old, 1, 10, saving.write(old, 1, 10, 2))
    new.claim("none")
    for act in (lambda: old.commit(1, 10, manifest), lambda: old.take_epoch(2, Start(epoch=2, created_at="now"))):
        with pytest.raises(Refused, match="belongs to uid-2") as refusal:
            act()
        assert code(refusal) == "UTK0315"


@pytest.mark.fault("F36", "F48")
@pytest.mark.parametrize("newer_has_committed", [True, False])
def test_a_manifest_that_comes_late_is_never_read(job_of: JobOf, children: Children, newer_has_committed: bool) -> None:
    job = job_of()
    saving.save(job, saving.begin(job), 10)
    old = children.start("commit_late", epoch=1, step=20)
    assert old.hears() == "paused"
    assert saving.begin(job) == 2
    expected = [(1, 10)]
    if newer_has_committed:
        saving.save(job, 2, 15)
        expected = [(2, 15), (1, 10)]
    old.goes_on()
    assert old.hears() == "committed"
    assert job.store.head("uid-1/epoch-1/step-20/MANIFEST.json") is not None
    assert saving.steps(job) == expected
    assert saving.restore(job) == expected[0][1]
    assert saving.begin(job) == 3
    saving.save(job, 3, 20)
    assert saving.steps(job) == [(3, 20), *expected]


@pytest.mark.fault("F48")
def test_of_two_claimants_of_an_epoch_exactly_one_wins(job_of: JobOf, children: Children) -> None:
    rounds = 5
    job = job_of()
    job.claim(None)
    racers = [children.start("race", rounds=rounds) for _ in range(3)]
    for number in range(1, rounds + 1):
        assert [racer.hears() for racer in racers] == ["ready"] * 3
        for racer in racers:
            racer.goes_on()
        assert sorted(racer.hears() for racer in racers) == ["lost", "lost", "won"], f"epoch {number}"
    assert [epoch.number for epoch in job.epochs()] == [1, 2, 3, 4, 5]


def test_epochs_have_no_gaps(job_of: JobOf) -> None:
    job = job_of()
    saving.begin(job)
    with pytest.raises(ValueError, match="the epoch after 1 is 2"):
        job.take_epoch(3, Start(epoch=3, created_at="now"))
    with pytest.raises(EpochTaken):
        job.take_epoch(1, Start(epoch=1, created_at="now"))


def test_the_first_to_say_how_it_ended_is_believed(job_of: JobOf) -> None:
    job = job_of()
    saving.begin(job)
    first = End(last_step=7, ended_at="first", timings={"restore": 0.25})
    assert job.end_epoch(1, first) == first
    assert job.end_epoch(1, End(last_step=9, ended_at="second")) == first
    assert job.epochs()[0].end == first
    assert job.outcome() is None
    won = Outcome(phase="Succeeded", step=7, attempts=1, ended_at="first")
    assert job.write_outcome(won) == won
    assert job.write_outcome(Outcome(phase="Failed", step=1, attempts=1, ended_at="second")) == won
    assert job.outcome() == won


def test_a_folder_may_be_moved(job_of: JobOf, store: Store) -> None:
    job = job_of()
    saving.save(job, saving.begin(job), 10)
    saving.begin(job)
    for entry in list(store.list("team-a/moe")):
        store.create(entry.key.replace("/moe/", "/moved/"), store.read(entry.key))
        store.delete(entry.key)
    assert saving.restore(job_of(name="moved")) == 10


def test_a_piece_that_is_not_the_manifests_raises_corrupt(job_of: JobOf) -> None:
    job = job_of()
    checkpoint = job.open(saving.save(job, saving.begin(job), 10))
    piece = checkpoint.manifest.tensors["layers.0.mlp.up.weight"].pieces[0]
    with pytest.raises(Corrupt):
        checkpoint.read_piece(piece.model_copy(update={"start": piece.start + 1}))
