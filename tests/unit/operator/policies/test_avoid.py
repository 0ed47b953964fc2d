"""Nodes to avoid: the set knows before the pod moves, the status keeps it, and no job waits for ever for another."""

from typing import Any

from ultrathink_api.status import AvoidedStatus
from ultrathink_operator import actions as do
from ultrathink_operator.policies.avoid import GIVE_UP_S
from ultrathink_operator.policies.writing import timestamp
from unit.operator.parts.cluster import SPEC, Cluster, running

HOURS = 3600.0
WORKER = "q-1-worker-1"


def placed(cluster: Cluster) -> Cluster:
    for place, raw in enumerate(cluster._of("Pod")):
        raw["spec"]["nodeName"] = f"gpu-{place}"
    return cluster


def told(cluster: Cluster, node: str = "gpu-2", hours: float = 1.0) -> Cluster:
    """The supervisor names a node; workers run on gpu-1 and gpu-2, the head on gpu-0."""
    one = AvoidedStatus(
        node=node, since=timestamp(cluster.now), until=timestamp(cluster.now + hours * HOURS), reason="Hang"
    )
    cluster.supervise("running", 60, avoid=(one,))
    return cluster


def kept_off(cluster: Cluster, name: str = "q-1-worker") -> list[str]:
    affinity: dict[str, Any] = cluster.objects["StatefulSet", name]["spec"]["template"]["spec"].get("affinity") or {}
    if not affinity:
        return []
    terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return list(terms[0]["matchFields"][0]["values"])


def test_the_set_is_told_before_the_pod_moves_and_the_status_says_so() -> None:
    cluster = told(placed(running()))
    first = cluster.step()
    assert [type(a) for a in first.actions] == [do.Scale], "the replacement must not come back to the same node"
    assert cluster.status.avoided[0].node == "gpu-2"
    uid = cluster.pod(WORKER)["metadata"]["uid"]
    cluster.settle()
    assert cluster.pod(WORKER)["metadata"]["uid"] != uid
    assert kept_off(cluster) == ["gpu-2"]
    assert cluster.pod(WORKER)["spec"]["affinity"]


def test_pods_on_other_nodes_and_a_head_that_trains_nothing_stay_where_they_are() -> None:
    cluster = placed(running())
    uids = {name: cluster.pod(name)["metadata"]["uid"] for name in ("q-1-head-0", "q-1-worker-0")}
    told(cluster, "gpu-0").settle()
    told(cluster, "gpu-2").settle()
    assert {name: cluster.pod(name)["metadata"]["uid"] for name in uids} == uids
    assert kept_off(cluster, "q-1-head") == []


def test_a_head_that_trains_moves_itself() -> None:
    cluster = placed(running(workers={"count": 1}))
    uid = cluster.pod("q-1-head-0")["metadata"]["uid"]
    told(cluster, "gpu-0").settle()
    assert cluster.pod("q-1-head-0")["metadata"]["uid"] != uid and kept_off(cluster, "q-1-head") == ["gpu-0"]


def test_a_node_is_used_again_when_its_time_is_over() -> None:
    cluster = told(placed(running()))
    cluster.settle()
    wake = cluster.decide().wake_after
    assert wake is not None and wake <= HOURS
    cluster.supervise("running", 80, avoid=())
    cluster.wait(HOURS + 1)
    assert kept_off(cluster) == []


def test_the_next_cluster_avoids_it_too_whatever_its_supervisor_knows() -> None:
    cluster = told(placed(running()))
    cluster.settle()
    cluster.lose("StatefulSet", "q-1-worker")
    cluster.settle()
    assert cluster.status.cluster is not None and cluster.status.cluster.number == 2
    assert kept_off(cluster, "q-2-worker") == ["gpu-2"]


def stuck(cluster: Cluster) -> None:
    cluster.pod(WORKER)["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}],
    }


def test_what_no_other_node_can_do_is_given_up_and_stays_given_up() -> None:
    cluster = told(placed(running()))
    cluster.settle()
    stuck(cluster)
    cluster.wait(GIVE_UP_S - 1)
    assert kept_off(cluster) == ["gpu-2"]
    uid = cluster.pod(WORKER)["metadata"]["uid"]
    cluster.wait(2)
    assert kept_off(cluster) == []
    assert cluster.pod(WORKER)["metadata"]["uid"] != uid, "the waiting pod still says what it avoids"
    assert cluster.status.avoided[0].reason == "Hang; given up, no other node fits"
    cluster.wait(60)
    assert kept_off(cluster) == [], "although the supervisor still names it"


def test_what_a_gang_was_given_back_for_is_given_up_too() -> None:
    cluster = told(placed(running(deadlines={"placementMinutes": 1})))
    cluster.settle()
    stuck(cluster)
    cluster.wait(61)
    assert cluster.condition("Scheduled") == ("False", "GangReleased")
    assert cluster.status.avoided[0].reason.endswith("no other node fits")
    cluster.wait(60)
    assert kept_off(cluster) == []


def test_a_ladder_without_the_rung_cluster_ends_where_a_cluster_is_lost() -> None:
    cluster = running(restart={"ladder": ["ranks", "workers"]})
    cluster.lose("StatefulSet", "q-1-worker")
    cluster.settle()
    assert (cluster.status.phase, cluster.status.reason) == ("Failed", "ClusterLost")
    assert "no rung cluster" in (cluster.status.message or "")
    cluster.wait(10)
    assert cluster.names("StatefulSet") == []


def test_a_ladder_with_it_goes_on() -> None:
    cluster = running(restart={"ladder": ["workers", "cluster"]})
    cluster.lose("StatefulSet", "q-1-worker")
    cluster.settle()
    assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]
    assert SPEC["workers"] == {"count": 2}
