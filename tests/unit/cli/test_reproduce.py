"""utk reproduce on folders: which run is meant, how the job starts, and what it says that it cannot say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.cli.parts.recorded import SPEC, begin, recorded
from integration.store import saving
from ultrathink import Job
from ultrathink_store import JobStore, open_job
from ultrathink_store.lineage import LINEAGE

Utk = Callable[..., Any]
ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.yaml"))


@pytest.fixture
def job(tmp_path: Path) -> JobStore:
    """A run of one attempt that has saved once."""
    job = open_job(f"file://{tmp_path}/runs", None, "tiny", "uid-1")
    begin(job, recorded(SPEC))
    saving.save(job, 1, 10)
    return job


def test_the_job_is_found_by_each_of_its_places(utk: Utk, job: JobStore, tmp_path: Path) -> None:
    places = [f"file://{tmp_path}/runs", job.store.uri, f"{job.store.uri}/uid-1", job.find("10").uri]
    said = [utk("reproduce", place, "-o", "json") for place in places]
    assert [one.code for one in said] == [0] * 4, said
    assert all(one.json == said[0].json for one in said)
    written = said[0].json
    assert written["metadata"]["name"] == "tiny-again"
    assert written["metadata"]["annotations"]["ultrathink.io/reproduces"] == f"{job.store.uri}/uid-1/epoch-1"
    assert (written["spec"]["training"]["seed"], written["spec"]["resume"]) == (0, {"from": "none"})


def test_an_older_run_of_the_folder_is_found_by_its_own(utk: Utk, job: JobStore, tmp_path: Path) -> None:
    other = open_job(f"file://{tmp_path}/runs", None, "tiny", "uid-2")
    begin(other, recorded({**SPEC, "training": {"steps": 99, "globalBatchTokens": 256}}), "none")
    assert utk("reproduce", job.store.uri, "-o", "json").json["spec"]["training"]["steps"] == 99
    assert utk("reproduce", f"{job.store.uri}/uid-1", "-o", "json").json["spec"]["training"]["steps"] == 24


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_written_is_valid_and_planned_as_before(utk: Utk, tmp_path: Path, example: Path) -> None:
    raw = yaml.safe_load(example.read_text())
    if raw["kind"] != "UltraThinkJob":
        pytest.skip("no job")
    run = open_job(f"file://{tmp_path}/runs", None, "a", "uid-1")
    begin(run, recorded(raw["spec"]))
    said = utk("reproduce", run.store.uri, "-o", "again.yaml")
    assert (said.code, said.out) == (0, ""), said
    again = Job.from_file("again.yaml")
    assert again.validate() == ()
    assert again.plan() == Job.from_dict(raw).plan()
    assert "planned it" not in said.err


def test_a_run_that_began_at_a_checkpoint_begins_there_again(utk: Utk, job: JobStore, tmp_path: Path) -> None:
    other = open_job(f"file://{tmp_path}/runs", None, "other", "uid-2")
    begin(other, recorded(SPEC), job.find("10").uri)
    assert utk("reproduce", other.store.uri, "-o", "json").json["spec"]["resume"] == {"from": job.find("10").uri}


def test_a_later_attempt_begins_where_it_did_and_in_its_pieces(utk: Utk, job: JobStore) -> None:
    begin(job, {**recorded(SPEC), "microBatchSequences": 1, "skips": [[3, 4]]})
    said = utk("reproduce", job.store.uri, "--attempt", "2", "-o", "json")
    assert said.json["spec"]["resume"] == {"from": job.find("10").uri}
    assert said.json["spec"]["training"]["microBatchSequences"] == 1
    assert "left out rows [[3, 4]]" in said.err


def test_another_plan_on_the_way_or_of_another_version_is_told(utk: Utk, job: JobStore) -> None:
    begin(job, recorded(SPEC, planDigest="another"))
    first = utk("reproduce", job.store.uri)
    assert "from attempt 2 on the run had another plan: --attempt 2" in first.err
    second = utk("reproduce", job.store.uri, "--attempt", "2")
    assert "planned it as another, this one as " in second.err


def test_the_image_of_the_pods_is_named(utk: Utk, tmp_path: Path) -> None:
    run = open_job(f"file://{tmp_path}/runs", "team", "tiny", "uid-1")
    image = "registry.example/trainer@sha256:" + "0" * 64
    begin(run, recorded(SPEC, image=image))
    said = utk("reproduce", run.store.uri, "-o", "json")
    assert said.json["metadata"]["annotations"]["ultrathink.io/image"] == image and image in said.err


@pytest.mark.parametrize(
    ("detail", "words", "reason"),
    [
        ({}, (), "does not say what it was made from"),
        ({LINEAGE: {"spec": {}}}, (), "cannot be read: "),
        (None, ("--attempt", "7"), "has no attempt 7: it has attempts 1 to 1"),
    ],
    ids=["of an older version", "damaged", "no such attempt"],
)
def test_a_run_without_a_record_is_refused(
    utk: Utk, tmp_path: Path, detail: dict[str, Any] | None, words: tuple[str, ...], reason: str
) -> None:
    run = open_job(f"file://{tmp_path}/runs", None, "tiny", "uid-1")
    begin(run, recorded(SPEC) if detail is None else detail)
    said = utk("reproduce", run.store.uri, *words, "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0320")
    assert reason in said.json["errors"][0]["message"]


def test_a_folder_without_a_job_is_not_found(utk: Utk, tmp_path: Path) -> None:
    said = utk("reproduce", f"file://{tmp_path}/runs", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0320")


def test_of_two_jobs_one_must_be_named(utk: Utk, job: JobStore, tmp_path: Path) -> None:
    begin(open_job(f"file://{tmp_path}/runs", None, "other", "uid-2"), recorded(SPEC))
    said = utk("reproduce", f"file://{tmp_path}/runs")
    assert said.code == 2 and f"utk reproduce file://{tmp_path}/runs/" in said.err


def test_no_file_is_written_over(utk: Utk, job: JobStore, tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text("mine")
    said = utk("reproduce", job.store.uri, "-o", "again.yaml")
    assert said.code == 9 and "UTK0607" in said.err
    assert (tmp_path / "again.yaml").read_text() == "mine"
