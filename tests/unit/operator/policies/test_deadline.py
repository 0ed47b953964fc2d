"""Deadlines end a job that waits or runs too long, whoever was started anew meanwhile."""

from dataclasses import replace
from typing import Any

import pytest

from ultrathink_api.status import GoodputStatus
from ultrathink_operator import actions as do
from ultrathink_operator.policies.deadline import DAY_S
from ultrathink_operator.policies.writing import PROGRESS_EVERY_S
from unit.operator.parts.cluster import SPEC, Cluster, running


def job(**deadlines: Any) -> Cluster:
    cluster = Cluster(spec={**SPEC, "deadlines": deadlines})
    cluster.settle()
    return cluster


def test_a_job_that_waits_too_long_for_its_pods_fails_with_the_last_word_about_them() -> None:
    cluster = job(queueHours=2)
    cluster.wait(2 * 3600 - 1)
    assert cluster.status.phase == "Scheduling"
    cluster.wait(2)
    assert (cluster.status.phase, cluster.status.reason) == ("Failed", "DeadlineExceeded")
    assert "deadlines.queueHours 2: 0 of 3 pods run" in (cluster.status.message or "")


def test_a_suspension_is_no_waiting() -> None:
    cluster = job(queueHours=2)
    cluster.change_spec(suspend=True)
    cluster.settle()
    cluster.wait(10 * 3600)
    assert cluster.status.phase == "Suspended"
    cluster.change_spec(suspend=False)
    cluster.settle()
    cluster.wait(3600)
    assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]
    cluster.wait(3601)
    assert cluster.status.reason == "DeadlineExceeded"


def test_a_job_that_trained_for_days_waits_for_its_next_cluster_from_then_on() -> None:
    for needs_another in (lost, changed, changed_while_a_worker_was_gone):
        cluster = running(deadlines={"queueHours": 2})
        cluster.now += 3 * DAY_S
        cluster.supervise("running", 150)
        cluster.settle()
        needs_another(cluster)
        assert (cluster.seen().number, cluster.status.phase) == (2, "Recovering"), needs_another
        cluster.wait(2 * 3600 - 1)
        assert cluster.status.phase == "Recovering", needs_another
        cluster.wait(2)
        assert (cluster.status.phase, cluster.status.reason) == ("Failed", "DeadlineExceeded"), needs_another


def test_a_cluster_lost_while_it_waits_begins_no_new_wait() -> None:
    cluster = job(queueHours=2)
    cluster.wait(3600)
    lost(cluster)
    cluster.wait(3601)
    assert cluster.status.reason == "DeadlineExceeded"


@pytest.mark.parametrize("resumed_before", [False, True])
def test_a_gang_that_is_placed_in_part_fails_when_its_wait_is_over_the_first_time(resumed_before: bool) -> None:
    cluster = job(queueHours=2)
    if resumed_before:
        cluster.change_spec(suspend=True)
        cluster.settle()
        cluster.change_spec(suspend=False)
        cluster.settle()
    number = cluster.seen().number
    cluster.set_pod(f"q-{number}-head-0", "Running", "True")
    cluster.supervise("starting", attempt=None, progress=None)
    cluster.wait(2 * 3600 + 1)
    assert (cluster.status.phase, cluster.status.reason) == ("Suspending", "DeadlineExceeded")
    cluster.now += 5
    cluster.confirm_stop(step=0)
    cluster.settle()
    assert (cluster.status.phase, cluster.status.reason) == ("Failed", "DeadlineExceeded")
    assert cluster.seen().number == number


def lost(cluster: Cluster) -> None:
    cluster.lose("StatefulSet", "q-1-head")
    cluster.settle()


def changed(cluster: Cluster) -> None:
    cluster.change_spec(workers={"count": 4})
    cluster.supervise("running", 160, generation=1)
    assert cluster.supervisor is not None
    cluster.supervisor = replace(cluster.supervisor, needs_cluster=2)
    cluster.settle()
    cluster.confirm_stop(step=160)
    cluster.settle()


def changed_while_a_worker_was_gone(cluster: Cluster) -> None:
    cluster.lose("Pod", "q-1-worker-1")
    cluster.wait(5 * 3600)
    assert cluster.condition("Scheduled")[0] == "False"
    changed(cluster)


def test_a_job_whose_pods_run_waits_no_longer() -> None:
    cluster = job(queueHours=2)
    cluster.run_pods()
    cluster.settle()
    cluster.wait(3 * 3600)
    assert cluster.status.phase == "Starting"


def test_a_job_that_makes_no_step_in_time_is_stopped_and_fails() -> None:
    cluster = job(startMinutes=30)
    cluster.run_pods()
    cluster.supervise("starting", 0)
    cluster.settle()
    cluster.wait(1799)
    assert cluster.status.phase == "Starting"
    cluster.now += 2
    cluster.step()
    assert do.Stop(grace_seconds=60.0) in cluster.step().actions
    cluster.confirm_stop(step=0)
    cluster.settle()
    assert (cluster.status.phase, cluster.status.reason) == ("Failed", "DeadlineExceeded")


def test_a_replaced_pod_does_not_begin_the_time_to_the_first_step_anew() -> None:
    cluster = job(startMinutes=30)
    for _ in range(3):
        cluster.run_pods()
        cluster.supervise("starting", 0)
        cluster.settle()
        cluster.wait(595)
        cluster.lose("Pod", "q-1-worker-1")
        cluster.wait(4)
        assert cluster.condition("Scheduled")[0] == "False"
        assert cluster.status.phase != "Suspending"
    cluster.run_pods()
    cluster.wait(10)
    assert (cluster.status.phase, cluster.status.reason) == ("Suspending", "DeadlineExceeded")


def test_a_resumed_job_has_its_whole_time_to_the_first_step() -> None:
    cluster = job(startMinutes=30)
    cluster.run_pods()
    cluster.settle()
    cluster.wait(1500)
    cluster.change_spec(suspend=True)
    cluster.settle()
    cluster.wait(100)
    assert cluster.status.phase == "Suspended"
    cluster.wait(10_000)
    cluster.change_spec(suspend=False)
    cluster.wait(1000)
    cluster.run_pods()
    cluster.settle()
    cluster.wait(1799)
    assert cluster.status.phase == "Starting"
    cluster.wait(2)
    assert (cluster.status.phase, cluster.status.reason) == ("Suspending", "DeadlineExceeded")


def test_the_pods_of_a_job_that_failed_by_a_deadline_stay_only_if_nothing_can_train_in_them() -> None:
    def pods_left(confirmed: bool) -> list[str]:
        cluster = job(startMinutes=30)
        cluster.run_pods()
        cluster.supervise("starting", 0)
        cluster.settle()
        cluster.wait(1801)
        if confirmed:
            cluster.confirm_stop(step=0)
        else:
            cluster.silence()
        cluster.wait(120)
        assert (cluster.status.phase, cluster.status.reason) == ("Failed", "DeadlineExceeded")
        cluster.supervisor = None
        cluster.settle()
        cluster.wait(60)
        return cluster.names("Pod")

    assert pods_left(confirmed=True)
    assert not pods_left(confirmed=False)


def test_the_pods_of_a_job_that_waited_too_long_do_not_start_to_train_afterwards() -> None:
    cluster = job(queueHours=2)
    cluster.wait(2 * 3600 + 1)
    assert cluster.status.phase == "Failed"
    assert not cluster.names("Pod")


def test_active_time_is_summed_over_all_attempts_and_the_job_saves_before_it_ends() -> None:
    cluster = running(deadlines={"activeDays": 1})
    cluster.attempt += 1
    cluster.supervise("running", 60, goodput=GoodputStatus(ratio="0.9", seconds={"productive": 86_000.0}))
    cluster.settle()
    assert cluster.status.phase == "Running"
    cluster.supervise(
        "running", 70, goodput=GoodputStatus(ratio="0.9", seconds={"productive": 86_000.0, "other": 400.0})
    )
    cluster.wait(PROGRESS_EVERY_S)
    assert (cluster.status.phase, cluster.status.reason) == ("Suspending", "DeadlineExceeded")
    cluster.confirm_stop(step=70)
    cluster.settle()
    assert cluster.status.phase == "Failed"
    assert "step 70" in (cluster.status.message or "")


def test_without_deadlines_a_job_may_wait_for_ever() -> None:
    cluster = job()
    cluster.wait(10_000_000)
    assert cluster.status.phase == "Scheduling"


def test_the_pods_of_a_failed_job_stay_as_long_as_its_owner_says() -> None:
    cluster = running(cleanup={"keepClusterOnFailureMinutes": 30})
    cluster.end("Failed", "NoProgress", message="failed 3 times")
    cluster.settle()
    cluster.wait(1799)
    assert cluster.names("StatefulSet")
    cluster.wait(2)
    assert not cluster.names("StatefulSet")
