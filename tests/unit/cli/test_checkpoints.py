"""utk checkpoints pin, unpin and rm on a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.store import saving
from ultrathink_store import End, JobStore, open_job

Utk = Callable[..., Any]


@pytest.fixture
def job(tmp_path: Path) -> JobStore:
    """Four checkpoints of a job that was stopped."""
    job = open_job(f"file://{tmp_path}/runs", None, "tiny", "uid-1")
    saving.begin(job)
    for step in (10, 20, 30, 40):
        saving.save(job, 1, step)
    job.end_epoch(1, End(cause=None, ended_at="then"))
    return job


def test_a_pin_is_set_and_taken_off_by_step(utk: Utk, job: JobStore) -> None:
    assert utk("checkpoints", "pin", "--uri", job.store.uri, "--step", "20").code == 0
    refused = utk("checkpoints", "rm", "--uri", job.store.uri, "--step", "20")
    assert refused.code != 0 and "UTK0319" in refused.err
    assert utk("checkpoints", "unpin", "--uri", job.store.uri, "--step", "20").code == 0
    assert utk("checkpoints", "rm", "--uri", job.store.uri, "--step", "20").code == 0
    assert [step for _, step in saving.steps(job)] == [40, 30, 10]


def test_one_is_removed_by_its_uri(utk: Utk, job: JobStore) -> None:
    assert utk("checkpoints", "rm", "--uri", job.find("10").uri).code == 0
    assert [step for _, step in saving.steps(job)] == [40, 30, 20]


def test_what_a_stopped_job_stands_on_is_not_removed(utk: Utk, job: JobStore) -> None:
    refused = utk("checkpoints", "rm", "--uri", job.find("40").uri)
    assert refused.code != 0 and "UTK0319" in refused.err


def test_which_one_must_be_said(utk: Utk, job: JobStore) -> None:
    refused = utk("checkpoints", "rm", "--uri", job.store.uri)
    assert refused.code != 0 and "UTK0604" in refused.err
