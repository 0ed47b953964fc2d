"""Why pods do not run, in the words of those who know."""

from typing import Any

import pytest

from ultrathink_operator import actions as do
from unit.operator.parts.cluster import Cluster

CPU = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available"


def placed() -> Cluster:
    cluster = Cluster()
    cluster.settle()
    return cluster


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"waiting": state}}]}


def test_the_scheduler_is_quoted() -> None:
    cluster = placed()
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": CPU}]
    cluster.pod("q-1-worker-1")["status"] = {"phase": "Pending", "conditions": conditions}
    cluster.settle()
    assert cluster.condition("Scheduled") == ("False", "Unschedulable")
    assert cluster.status.phase == "Scheduling"
    assert cluster.status.reason == "Unschedulable"
    assert cluster.status.message == f"q-1-worker-1: {CPU} (3 of 3 pods wait)"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_kubelet_is_quoted_about_an_image_with_its_name(reason: str) -> None:
    cluster = placed()
    cluster.set_pod("q-1-head-0", "Pending", "False", **container(reason=reason, message="not found"))
    cluster.settle()
    assert cluster.condition("Scheduled") == ("False", "ImagePullError")
    assert cluster.status.message is not None
    assert "image registry.example/trainer:1: not found" in cluster.status.message
    assert "make images" in cluster.status.message


def test_a_mount_that_fails_is_known_from_events_alone() -> None:
    cluster = placed()
    cluster.set_pod("q-1-head-0", "Pending", "False")
    cluster.explain("Pod", "q-1-head-0", "FailedMount", 'MountVolume.SetUp failed: secret "s3" not found')
    cluster.settle()
    assert cluster.condition("Scheduled") == ("False", "FailedMount")
    assert cluster.status.message is not None and 'secret "s3" not found' in cluster.status.message


def test_a_quota_is_quoted_and_the_job_is_queued() -> None:
    cluster = placed()
    for name in ("q-1-worker-0", "q-1-worker-1"):
        del cluster.objects["Pod", name]
    cluster.objects["StatefulSet", "q-1-worker"]["status"] = {"replicas": 0}
    message = 'pods "q-1-worker-0" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=4, limited: cpu=4'
    cluster.explain("StatefulSet", "q-1-worker", "FailedCreate", message)
    status = cluster.decide().status
    assert status is not None
    assert (status.phase, status.reason) == ("Queued", "QuotaExceeded")
    assert status.message is not None and "used: cpu=4, limited: cpu=4" in status.message


def test_a_set_that_the_quota_refuses_is_touched_every_half_minute() -> None:
    cluster = placed()
    for name in ("q-1-worker-0", "q-1-worker-1"):
        del cluster.objects["Pod", name]
    cluster.objects["StatefulSet", "q-1-worker"]["status"] = {"replicas": 0}
    cluster.explain("StatefulSet", "q-1-worker", "FailedCreate", "exceeded quota: team, used: pods=1, limited: pods=1")
    assert nudges(cluster) == []
    cluster.now += 30
    (nudge,) = nudges(cluster)
    assert (nudge.name, nudge.replicas) == ("q-1-worker", 2)
    cluster.act(nudge)
    assert nudges(cluster) == []
    cluster.now += 30
    assert [n.name for n in nudges(cluster)] == ["q-1-worker"]


def nudges(cluster: Cluster) -> list[do.Nudge]:
    return [a for a in cluster.decide().actions if isinstance(a, do.Nudge)]


def test_a_process_that_ends_again_and_again_is_told_with_its_last_end() -> None:
    cluster = placed()
    cluster.run_pods()
    status = {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "no module named x"}},
    }
    cluster.set_pod("q-1-head-0", "Running", "False", containerStatuses=[status])
    cluster.settle()
    assert cluster.status.phase == "Starting"
    assert cluster.status.reason == "CrashLoop"
    assert cluster.status.message is not None and "Error, exit code 1: no module named x" in cluster.status.message


def test_events_are_asked_for_after_five_seconds_of_unhappiness() -> None:
    cluster = placed()
    assert not [a for a in cluster.decide().actions if isinstance(a, do.Explain)]
    cluster.now += 5
    asked = [a.uid for a in cluster.decide().actions if isinstance(a, do.Explain)]
    assert asked == [cluster.pod(name)["metadata"]["uid"] for name in cluster.names("Pod")]


def test_the_reason_that_needs_a_person_most_is_told_when_pods_differ() -> None:
    cluster = placed()
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": CPU}]
    cluster.pod("q-1-worker-1")["status"] = {"phase": "Pending", "conditions": conditions}
    cluster.set_pod("q-1-head-0", "Pending", "False", **container(reason="ErrImagePull", message="not found"))
    cluster.settle()
    assert cluster.status.reason == "Unschedulable"


def test_workers_are_counted_with_a_selector_to_find_them() -> None:
    cluster = placed()
    cluster.run_pods()
    cluster.settle()
    workers = cluster.status.workers
    assert workers is not None and (workers.ready, workers.desired) == (2, 2)
    assert workers.selector == "ultrathink.io/job-uid=job-uid,ultrathink.io/cluster=1,ultrathink.io/role=worker"
