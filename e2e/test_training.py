"""(a) to (c): a job trains on a real cluster, loses each of its parts in turn, and ends where it would have ended."""

import time
from collections.abc import Callable, Mapping

import pytest
from e2e.house import JOBS, House
from e2e.jobs import END_S, START_S, Job, quickstart
from e2e.waiting import wait_for

Keep = Callable[[Mapping[str, float]], None]
STEPS = 200
RECOVERY_S = 300.0
SAVED = 40
"""A step that the second checkpoint of the example holds: it saves each tenth of its 200 steps."""


def test_a_the_example_succeeds_and_leaves_a_verified_checkpoint(undisturbed: Job) -> None:
    status = undisturbed.status()
    assert status["phase"] == "Succeeded", status
    assert status["checkpoint"]["step"] == STEPS
    assert sorted(undisturbed.losses()) == list(range(1, STEPS + 1))
    verification = undisturbed.verify_checkpoints()
    assert verification["verified"] is True
    assert STEPS in [item["step"] for item in verification["items"]]


@pytest.mark.fault("F37")
def test_b_a_lost_worker_costs_only_time(house: House, undisturbed: Job, recovery: Keep) -> None:
    with Job(house, "lost-worker") as job:
        job.apply(quickstart("lost-worker"))
        job.wait_for_checkpoint(SAVED, START_S)
        saved = job.last_checkpoint()
        force = ("--grace-period=0", "--force")
        house.kubernetes.kubectl("delete", "pod", job.pod("worker", 1), "-n", JOBS, "--wait=false", *force)
        assert_it_went_on_and_ended_alike(job, saved, undisturbed, recovery)


@pytest.mark.fault("F42")
def test_c_a_lost_head_costs_only_time(house: House, undisturbed: Job, recovery: Keep) -> None:
    with Job(house, "lost-head") as job:
        job.apply(quickstart("lost-head"))
        job.wait_for_checkpoint(SAVED, START_S)
        saved = job.last_checkpoint()
        house.kubernetes.kubectl("delete", "pod", job.pod("head"), "-n", JOBS, "--wait=false")
        assert_it_went_on_and_ended_alike(job, saved, undisturbed, recovery)


def seconds_to_next_step(job: Job) -> float:
    """From now, when a pod was just deleted, to the first step of another attempt, as its log tells it."""
    began = time.monotonic()
    told = lambda: any(event["attempt"] > 1 for event in job.events("step"))  # noqa: E731
    wait_for("a step of another attempt", told, RECOVERY_S, job.brief)
    return time.monotonic() - began


def assert_it_went_on_and_ended_alike(job: Job, saved: int, undisturbed: Job, recovery: Keep) -> None:
    assert job.last_step() < STEPS, "it was not hit in mid-training"
    recovery({"firstStep": seconds_to_next_step(job)})
    status = job.wait_for_end(RECOVERY_S + END_S)
    assert status["phase"] == "Succeeded", status
    attempts = job.events("attempt")
    assert [event["attempt"] for event in attempts][:2] == [1, 2], attempts
    assert attempts[1]["cause"] is not None
    assert attempts[1]["resumedFrom"] >= saved, "it did not go on from the last checkpoint"
    losses, expected = job.losses(), undisturbed.losses()
    assert losses[STEPS] == expected[STEPS]
    assert losses.items() <= expected.items(), "it ended alike, but on another way"
    assert status["checkpoint"]["step"] == STEPS
    assert job.verify_checkpoints(status["checkpoint"]["uri"])["verified"] is True
