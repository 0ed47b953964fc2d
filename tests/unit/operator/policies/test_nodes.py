"""When a pod counts as lost with its node, and when it must not."""

import pytest

from ultrathink_operator import actions as do
from ultrathink_operator.policies.writing import timestamp
from unit.operator.parts.cluster import Cluster, running

GRACE = 90


def deleted(ready: str, containers: str) -> Cluster:
    """A worker whose deletion was asked for just now."""
    cluster = running()
    pod = cluster.pod("q-1-worker-1")
    until = timestamp(cluster.now + GRACE)
    pod["metadata"] |= {"deletionTimestamp": until, "deletionGracePeriodSeconds": GRACE}
    pod["status"]["conditions"] = [
        {"type": "Ready", "status": ready, "lastTransitionTime": timestamp(cluster.now)},
        {"type": "ContainersReady", "status": containers, "lastTransitionTime": timestamp(cluster.now)},
    ]
    return cluster


def forced(cluster: Cluster, after: float) -> list[str]:
    cluster.now += after
    return [a.name for a in cluster.decide().actions if isinstance(a, do.ForceDelete)]


@pytest.mark.parametrize("after", [0, 29, 120, 3600])
def test_a_ready_pod_is_never_forced(after: float) -> None:
    assert forced(deleted("True", "True"), after) == []


def test_a_pod_of_a_silent_node_is_forced_after_half_a_minute() -> None:
    assert forced(deleted("False", "True"), 29) == []
    assert forced(deleted("False", "True"), 31) == ["q-1-worker-1"]


def test_a_pod_that_is_saving_gets_its_whole_grace() -> None:
    assert forced(deleted("False", "False"), GRACE + 29) == []
    assert forced(deleted("False", "False"), GRACE + 31) == ["q-1-worker-1"]


def test_a_pod_that_nobody_deleted_is_never_forced() -> None:
    cluster = running()
    cluster.set_pod("q-1-worker-1", "Running", "False")
    assert forced(cluster, 3600) == []


def test_the_moment_is_not_slept_through() -> None:
    wake_after = deleted("False", "True").decide().wake_after
    assert wake_after is not None and wake_after <= 30


def test_its_replacement_is_left_to_the_stateful_set() -> None:
    cluster = deleted("False", "True")
    uid = cluster.pod("q-1-worker-1")["metadata"]["uid"]
    cluster.wait(31)
    assert cluster.pod("q-1-worker-1")["metadata"]["uid"] != uid
    assert cluster.status.cluster is not None and cluster.status.cluster.number == 1
