"""utk checkpoints pin, unpin and rm on a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from integration.store import saving
from ultrathink_store import End, JobStore, open_job
from utk.console import Console

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
    refused = utk("checkpoints", "rm", "-y", "--uri", job.store.uri, "--step", "20")
    assert refused.code != 0 and "UTK0319" in refused.err
    assert utk("checkpoints", "unpin", "--uri", job.store.uri, "--step", "20").code == 0
    assert utk("checkpoints", "rm", "-y", "--uri", job.store.uri, "--step", "20").code == 0
    assert [step for _, step in saving.steps(job)] == [40, 30, 10]


def test_one_is_removed_by_its_uri(utk: Utk, job: JobStore) -> None:
    assert utk("checkpoints", "rm", "-y", "--uri", job.find("10").uri).code == 0
    assert [step for _, step in saving.steps(job)] == [40, 30, 20]


def test_what_a_stopped_job_stands_on_is_not_removed(utk: Utk, job: JobStore) -> None:
    refused = utk("checkpoints", "rm", "-y", "--uri", job.find("40").uri)
    assert refused.code != 0 and "UTK0319" in refused.err


def test_which_one_must_be_said(utk: Utk, job: JobStore) -> None:
    refused = utk("checkpoints", "rm", "-y", "--uri", job.store.uri)
    assert refused.code != 0 and "UTK0604" in refused.err


@pytest.mark.parametrize("verb", ["pin", "unpin", "rm"])
def test_a_step_that_the_uri_contradicts_is_refused(utk: Utk, job: JobStore, verb: str) -> None:
    sure = ["-y"] if verb == "rm" else []
    refused = utk("checkpoints", verb, "--uri", job.find("10").uri, "--step", "20", *sure)
    assert refused.code == 2 and "UTK0604" in refused.err and "step 10" in refused.err
    assert [step for _, step in saving.steps(job)] == [40, 30, 20, 10]


def test_the_step_may_be_said_beside_the_uri(utk: Utk, job: JobStore) -> None:
    assert utk("checkpoints", "rm", "-y", "--uri", job.find("10").uri, "--step", "10").code == 0
    assert [step for _, step in saving.steps(job)] == [40, 30, 20]


def test_without_a_terminal_a_yes_is_needed(utk: Utk, job: JobStore) -> None:
    uri = job.find("10").uri
    refused = utk("checkpoints", "rm", "--uri", job.store.uri, "--step", "10")
    assert refused.code == 2 and "UTK0605" in refused.err and f"utk checkpoints rm --uri {uri} -y" in refused.err
    assert [step for _, step in saving.steps(job)] == [40, 30, 20, 10]


@pytest.mark.parametrize(("answer", "left"), [(False, [40, 30, 20, 10]), (True, [40, 30, 20])])
def test_on_a_terminal_it_asks(
    utk: Utk, job: JobStore, monkeypatch: pytest.MonkeyPatch, answer: bool, left: list[int]
) -> None:
    monkeypatch.setattr(Console, "asks", True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: answer)
    said = utk("checkpoints", "rm", "--uri", job.find("10").uri)
    assert (said.code == 0) is answer and "nothing brings it back" in said.err
    assert [step for _, step in saving.steps(job)] == left
