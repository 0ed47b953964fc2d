"""(a) to (e): a job trains on a real cluster, loses each of its parts in turn, and ends where it would have ended."""

import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from e2e.house import DEPLOYMENT, JOBS, SYSTEM, House
from e2e.jobs import END_S, START_S, Job, quickstart
from e2e.kubernetes import Kubernetes
from e2e.waiting import say, wait_for

Keep = Callable[[Mapping[str, float]], None]
STEPS = 200
RECOVERY_S = 300.0
OUTAGE_S = 60.0
LOOKS = 6
ADVANCE_S = 20.0
"""A step takes well below a second; more than this between two is a training that has stopped."""
BACK_S = 30.0
"""How soon the status is right after the operator is back."""
GONE_S = 180.0
SAVED = 40
"""A step that the second checkpoint of the example holds: it saves each tenth of its 200 steps."""
LEFT_BEHIND = "statefulsets,pods,services,configmaps,secrets,networkpolicies,poddisruptionbudgets"


@pytest.fixture(scope="module")
def endless(house: House) -> Iterator[Job]:
    """A job that is far from its end, and from its first checkpoint."""
    with Job(house, "endless") as job:
        job.apply(quickstart("endless", lambda spec: spec["training"].update(steps=1_000_000)))
        job.wait_for_step(5, START_S)
        yield job


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


def test_d_training_does_not_need_the_operator(house: House, endless: Job) -> None:
    kubernetes = house.kubernetes
    kill_operator(kubernetes)
    gone_at = time.monotonic()
    try:
        while (gone_for := time.monotonic() - gone_at) < OUTAGE_S:
            step = endless.last_step()
            endless.wait_for_step(step + 1, ADVANCE_S)
            say(f"the operator is gone for {gone_for:.0f} s; training is at step {endless.last_step()}")
            time.sleep(OUTAGE_S / LOOKS)  # the length of the outage is what is asked for, not a wait for something
    finally:
        kubernetes.kubectl("scale", "-n", SYSTEM, DEPLOYMENT, "--replicas=1")
    at_return = endless.last_step()
    kubernetes.kubectl("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=60s")

    def right() -> bool:
        status = endless.status()
        return status["phase"] == "Running" and status["progress"]["step"] >= at_return

    wait_for(f"a status that says Running, step >= {at_return}", right, BACK_S, endless.brief)
    assert [event["attempt"] for event in endless.events("attempt")] == [1]
    assert endless.status()["cluster"]["number"] == 1


def kill_operator(kubernetes: Kubernetes) -> None:
    """By SIGKILL, and nothing in its place."""
    kubernetes.kubectl("scale", "-n", SYSTEM, DEPLOYMENT, "--replicas=0")
    selector = "app.kubernetes.io/component=operator"
    kubernetes.kubectl("delete", "pods", "-n", SYSTEM, "-l", selector, "--grace-period=0", "--force")
    wait_for("the operator to be gone", lambda: not kubernetes.items("pods", SYSTEM, selector), GONE_S)


def test_e_deleting_in_mid_training_saves_first_and_leaves_only_checkpoints(house: House, endless: Job) -> None:
    assert not endless.last_checkpoint(), "it has saved before, so this could not show that deletion saves"
    at_deletion = endless.last_step()
    house.kubernetes.kubectl("delete", "utj", endless.name, "-n", JOBS, "--wait=false")

    def rest() -> list[str]:
        found = house.kubernetes.items(f"utj,{LEFT_BEHIND}", JOBS)
        ours = [o for o in found if o["metadata"]["name"].startswith(endless.name)]
        return [f"{o['kind']}/{o['metadata']['name']}" for o in ours]

    wait_for("nothing to be left", lambda: not rest(), GONE_S, rest)
    verification = endless.verify_checkpoints()
    assert verification["verified"] is True
    assert max(item["step"] for item in verification["items"]) >= at_deletion
