"""A gang that fits only in part gives its workers back in time, waits, and is tried again as a whole."""

import pytest

from ultrathink_operator.policies.gang import FIRST_WAIT_S, JITTER, LONGEST_WAIT_S, backoff, is_tried_again
from unit.operator.parts.cluster import SPEC, Cluster, running

MINUTE = 60.0
SCHEDULER = "0/3 nodes are available: 3 Insufficient cpu"


def unschedulable(cluster: Cluster, name: str) -> None:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": SCHEDULER}
    cluster.pod(name)["status"] = {"phase": "Pending", "conditions": [said]}


def half(**spec: object) -> Cluster:
    """Head and one of two workers have a node."""
    cluster = Cluster(spec={**SPEC, **spec})
    cluster.settle()
    for name in ("q-1-head-0", "q-1-worker-0"):
        cluster.set_pod(name, "Running", "True")
    unschedulable(cluster, "q-1-worker-1")
    cluster.settle()
    return cluster


def workers(cluster: Cluster) -> int:
    return int(cluster.objects["StatefulSet", "q-1-worker"]["spec"]["replicas"])


def test_it_holds_its_part_for_five_minutes_in_the_schedulers_words() -> None:
    cluster = half()
    cluster.wait(5 * MINUTE - 1)
    assert workers(cluster) == 2
    assert cluster.condition("Scheduled") == ("False", "Unschedulable") and SCHEDULER in (cluster.status.message or "")


def test_then_all_workers_go_and_the_status_says_why_and_when_they_come_back() -> None:
    cluster = half()
    cluster.wait(5 * MINUTE)
    assert workers(cluster) == 0
    assert cluster.status.reason == "GangReleased"
    message = cluster.status.message or ""
    assert "only 2 of 3 pods" in message and "placementMinutes 5" in message
    assert cluster.status.cluster is not None and (cluster.status.cluster.retry_at or "") in message
    assert cluster.status.phase == "Scheduling"


def test_the_intent_is_written_before_anything_is_given_back() -> None:
    cluster = half()
    cluster.now += 5 * MINUTE
    decision = cluster.step()
    assert decision.actions == () and cluster.status.cluster is not None and cluster.status.cluster.retry_at


def test_it_is_tried_again_as_a_whole_and_waits_longer_each_time() -> None:
    cluster = half(deadlines={"placementMinutes": 1})
    waits = []
    for _ in range(3):
        cluster.wait(MINUTE)
        assert workers(cluster) == 0
        began = cluster.now
        while workers(cluster) == 0:
            decision = cluster.decide()
            assert decision.wake_after is not None and decision.wake_after > 0, "the moment is not slept through"
            cluster.wait(decision.wake_after)
        waits.append(cluster.now - began)
        cluster.set_pod("q-1-worker-0", "Running", "True")
        unschedulable(cluster, "q-1-worker-1")
        cluster.settle()
    for k, wait in enumerate(waits):
        assert abs(wait / (FIRST_WAIT_S * 2**k) - 1) <= JITTER + 0.05


def test_once_placed_it_begins_anew() -> None:
    cluster = half()
    cluster.wait(5 * MINUTE)
    cluster.wait(MINUTE)
    cluster.run_pods()
    cluster.settle()
    found = cluster.status.cluster
    assert found is not None and (found.releases, found.retry_at, found.tried_at) == (0, None, None)
    assert found.placed_at is not None


def test_a_gang_that_lost_a_part_for_good_gives_the_rest_back_too() -> None:
    cluster = running()
    cluster.lose("Pod", "q-1-worker-1")
    cluster.supervise("recovering", 50)
    unschedulable(cluster, "q-1-worker-1")
    cluster.settle()
    cluster.wait(5 * MINUTE)
    assert workers(cluster) == 0 and cluster.status.phase == "Recovering"


def test_nothing_is_given_back_where_no_worker_holds_a_node() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.set_pod("q-1-head-0", "Running", "True")
    for index in (0, 1):
        unschedulable(cluster, f"q-1-worker-{index}")
    cluster.settle()
    cluster.wait(3600)
    assert workers(cluster) == 2 and cluster.status.reason == "Unschedulable"


def test_a_placed_pod_that_only_pulls_its_image_is_no_reason() -> None:
    cluster = half()
    cluster.pod("q-1-worker-1")["spec"]["nodeName"] = "gpu-1"
    cluster.pod("q-1-worker-1")["status"] = {"phase": "Pending"}
    cluster.wait(3600)
    assert workers(cluster) == 2


def test_the_older_of_two_jobs_is_tried_first() -> None:
    cluster = half()
    cluster.wait(5 * MINUTE)
    cluster.elder = "older"
    cluster.wait(MINUTE)
    assert workers(cluster) == 0
    assert "job older is older and is tried first" in (cluster.status.message or "")
    cluster.elder = ""
    cluster.wait(MINUTE)
    assert workers(cluster) == 2


@pytest.mark.parametrize(("seconds", "tried"), [(0.0, False), (MINUTE, True)])
def test_a_job_counts_as_tried_from_when_its_wait_is_over(seconds: float, tried: bool) -> None:
    cluster = half()
    assert not is_tried_again(cluster.seen().job, cluster.now), "the first try is everybody's"
    cluster.wait(5 * MINUTE)
    assert is_tried_again(cluster.seen().job, cluster.now + seconds) is tried
    cluster.change_spec(suspend=True)
    assert not is_tried_again(cluster.seen().job, cluster.now + seconds)


def test_waits_differ_from_job_to_job_and_are_bounded() -> None:
    assert backoff("a", 0) != backoff("b", 0)
    assert all(backoff(str(n), 40) <= LONGEST_WAIT_S * (1 + JITTER) for n in range(50))
