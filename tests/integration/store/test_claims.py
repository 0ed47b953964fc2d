"""Whose a folder is, and where a job starts: every meaning of `resume.from`, and nothing from scratch in silence."""

from collections.abc import Callable

import pytest

from integration.store import saving
from integration.store.children import Place
from ultrathink_api.errors import Refused
from ultrathink_store import JobStore, open_job
from ultrathink_store.backend import StorageSettings

JobOf = Callable[..., JobStore]


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refusal:
        act()
    problem = refusal.value.problem
    assert problem.field, problem
    assert problem.fix, problem
    return problem.code


@pytest.fixture
def old(job_of: JobOf) -> JobStore:
    """A job that left checkpoints of steps 10 and 20 in its first attempt, 30 in its second."""
    job = job_of("uid-1")
    saving.save(job, saving.begin(job), 10)
    saving.save(job, 1, 20)
    saving.save(job, saving.begin(job), 30)
    return job


@pytest.mark.parametrize("resume", [None, "latest", "none"])
def test_where_nothing_is_a_job_starts_from_scratch(job_of: JobOf, resume: str | None) -> None:
    claim = job_of().claim(resume)
    assert (claim.parent, claim.previous, claim.epoch) == (None, None, 1)


@pytest.mark.parametrize("resume", [None, "latest", "none", "moe@10"])
def test_a_job_goes_on_where_it_was_whatever_it_once_said(old: JobStore, resume: str | None) -> None:
    claim = old.claim(resume)
    assert claim.parent == old.find("30")
    assert claim.epoch == 3


@pytest.mark.fault("F48")
def test_a_job_created_again_must_say_where_it_starts(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2")
    assert refused(lambda: new.claim(None)) == "UTK0310"
    assert old.claim(None).parent == old.find("30"), "a refusal takes nothing away"


def test_a_folder_that_was_claimed_and_never_used_still_belongs_to_its_owner(job_of: JobOf) -> None:
    job_of("uid-1").claim(None)
    assert refused(lambda: job_of("uid-2").claim(None)) == "UTK0310"


def test_latest_goes_on_from_the_old_jobs_newest_and_the_chain_into_its_folder(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2")
    assert saving.begin(new, "latest") == 1
    assert saving.steps(new) == [(2, 30), (1, 20), (1, 10)]
    saving.save(new, 1, 40)
    assert [(ref.uid, ref.step) for ref in new.chain().checkpoints()] == [
        ("uid-2", 40),
        ("uid-1", 30),
        ("uid-1", 20),
        ("uid-1", 10),
    ]
    newest = job_of("uid-3")
    assert newest.claim("latest").parent == new.find("40")


def test_what_the_old_job_commits_after_that_is_never_read(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2")
    saving.begin(new, "latest")
    shards = list(saving.write(old, 2, 40, 2))
    late = saving.manifest(old, 2, 40, shards)
    old.ledger.create("uid-1/epoch-2/step-40/MANIFEST.json", late)
    assert saving.steps(new)[0] == (2, 30)


def test_latest_passes_by_what_is_damaged(old: JobStore, job_of: JobOf) -> None:
    old.store.delete("uid-1/epoch-2/step-30/shard-0.safetensors")
    assert job_of("uid-2").claim("latest").parent == old.find("20")


def test_latest_with_nothing_valid_is_refused_and_takes_nothing(old: JobStore, job_of: JobOf) -> None:
    for epoch, step in ((1, 10), (1, 20), (2, 30)):
        old.store.delete(f"uid-1/epoch-{epoch}/step-{step}/shard-0.safetensors")
    assert refused(lambda: job_of("uid-2").claim("latest")) == "UTK0311"
    owner = old.ledger.owner()
    assert owner is not None
    assert owner[0].uid == "uid-1"


def test_none_starts_from_scratch_and_touches_nothing(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2")
    saving.begin(new, "none")
    assert saving.steps(new) == []
    assert saving.restore(new) is None
    assert saving.steps(old) == [(2, 30), (1, 20), (1, 10)]


def test_a_claimant_that_died_before_its_first_attempt_gets_the_same_answer(old: JobStore, job_of: JobOf) -> None:
    first = job_of("uid-2").claim("latest")
    assert job_of("uid-2").claim("latest") == first
    assert refused(lambda: job_of("uid-2").claim(None)) == "UTK0310"


def test_a_claimant_that_never_began_hides_nothing_from_the_next(old: JobStore, job_of: JobOf) -> None:
    job_of("uid-2").claim("latest")
    assert job_of("uid-3").claim("latest").parent == old.find("30")


def test_an_owner_that_was_lost_is_no_empty_folder(old: JobStore, job_of: JobOf) -> None:
    old.store.delete("OWNER")
    assert refused(lambda: job_of("uid-2").claim(None)) == "UTK0310"
    assert job_of("uid-2").claim("latest").parent == old.find("30")


def test_the_run_before_the_last_can_be_gone_on_with(old: JobStore, job_of: JobOf) -> None:
    saving.begin(job_of("uid-2"), "none")
    assert refused(lambda: job_of("uid-1").claim(None)) == "UTK0310"
    assert job_of("uid-1").claim("latest").parent == old.find("30")


def test_a_step_of_the_same_name_is_the_old_jobs(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2")
    assert new.claim("moe@20").parent == old.find("20")
    saving.begin(new, "moe@20")
    assert saving.steps(new) == [(1, 20), (1, 10)]
    assert refused(lambda: job_of("uid-3").claim("moe@99")) == "UTK0312"


def test_a_step_of_another_job_is_taken_alone(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2", name="next")
    saving.begin(new, "moe@20")
    assert [ref.uri for ref in new.chain().checkpoints()] == [old.find("20").uri]
    assert saving.restore(new) == 20
    saving.save(new, 1, 25)
    assert [ref.step for ref in new.chain().checkpoints()] == [25, 20]


def test_a_checkpoint_of_another_job_that_breaks_is_neither_replaced_nor_marked(old: JobStore, job_of: JobOf) -> None:
    new = job_of("uid-2", name="next")
    saving.begin(new, "moe@20")
    old.store.delete("uid-1/epoch-1/step-20/shard-0.safetensors")
    assert refused(lambda: new.claim(None)) == "UTK0311"
    assert old.quarantined(old.find("20")) is None


@pytest.mark.parametrize("which", ["checkpoint", "folder", "folder@20"])
def test_a_uri_names_a_checkpoint_a_job_or_a_jobs_step(old: JobStore, job_of: JobOf, which: str) -> None:
    uri = {
        "checkpoint": old.find("20").uri + "/",
        "folder": old.store.uri,
        "folder@20": f"{old.store.uri}@20",
    }[which]
    assert job_of("uid-2", name="next").claim(uri).parent == old.find("30" if which == "folder" else "20")


@pytest.mark.fault("N36")
@pytest.mark.parametrize(
    ("resume", "code"),
    [
        ("moe@99", "UTK0312"),
        ("nobody@10", "UTK0312"),
        ("{base}/team-a/nobody", "UTK0312"),
        ("{base}/team-a/moe/uid-1/epoch-1/step-99", "UTK0312"),
        ("{base}/team-a/moe@99", "UTK0312"),
        ("{base}/team-b/theirs", "UTK0314"),
        ("{base}/team-b/theirs/uid-1/epoch-1/step-10", "UTK0314"),
        ("{base}/team-ab/theirs@10", "UTK0314"),
        ("{base}", "UTK0314"),
        ("{base}/team-a/../team-b/theirs", "UTK0123"),
        ("{base}/team-a/moe/../../team-b/theirs/uid-1/epoch-1/step-10", "UTK0123"),
        ("../team-b/theirs@10", "UTK0124"),
        ("team-b/theirs@10", "UTK0124"),
        ("moe", "UTK0124"),
        ("moe@", "UTK0124"),
        ("moe@-1", "UTK0124"),
        ("moe@010", "UTK0124"),
        ("", "UTK0124"),
        ("LATEST", "UTK0124"),
        ("gopher://x/y", "UTK0123"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_takes_nothing(
    old: JobStore, job_of: JobOf, place: Place, resume: str, code: str
) -> None:
    theirs = job_of("uid-1", name="theirs", namespace="team-b")
    saving.save(theirs, saving.begin(theirs), 10)
    new = job_of("uid-2")
    assert refused(lambda: new.claim(resume.replace("{base}", place.uri))) == code
    assert old.claim(None).parent == old.find("30")


def test_locally_there_are_no_namespaces(place: Place, settings: StorageSettings) -> None:
    old = open_job(place.uri, None, "first", "uid-1", settings)
    saving.save(old, saving.begin(old), 10)
    new = open_job(place.uri, None, "second", "uid-2", settings)
    assert new.claim("first@10").parent == old.find("10")


@pytest.mark.fault("N34")
@pytest.mark.parametrize("name", ["..", "../x", "/etc", "a/b", "A", "", "%2e%2e", "a\n", "a..b"])
def test_a_name_that_could_climb_makes_no_folder(place: Place, settings: StorageSettings, name: str) -> None:
    with pytest.raises(ValueError, match="no folder can be named after it"):
        open_job(place.uri, name, "moe", "uid-1", settings)
    with pytest.raises(ValueError, match="no folder can be named after it"):
        open_job(place.uri, "team-a", name, "uid-1", settings)
    with pytest.raises(ValueError, match="is not a uid"):
        open_job(place.uri, "team-a", "moe", f"{name}/", settings)
