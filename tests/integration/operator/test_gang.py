"""A gang that fits only in part, and a pod whose node is lost, on a real API server."""

from collections.abc import Callable
from typing import Any

import pytest

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually
from integration.operator.parts.process import OperatorProcess

SIX_SECONDS = 0.1
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    ],
}
SILENT_NODE = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]
"""What the node controller writes when a kubelet falls silent: containers stay as they were last heard of."""


@pytest.mark.fault("F33")
def test_a_gang_placed_in_part_gives_back_what_it_holds_and_says_why(place: Place, operator: OperatorProcess) -> None:
    place.submit("part", deadlines={"placementMinutes": SIX_SECONDS})
    names = {"part-1-head-0", "part-1-worker-0", "part-1-worker-1"}
    eventually(lambda: {p.metadata.name for p in place.pods()} == names, says=place.children)
    place.run_pod("part-1-head-0", "10.0.0.1", ready=False)
    place.run_pod("part-1-worker-0", "10.0.0.2", ready=False)
    place.patch_pod("part-1-worker-1", UNSCHEDULABLE)

    def pods() -> list[str]:
        return [p.metadata.name for p in place.pods() if p.metadata.deletion_timestamp is None]

    eventually(lambda: pods() == ["part-1-head-0"], says=lambda: (place.status("part"), operator.said()))
    said = place.condition("part", "Scheduled")
    assert (said["status"], said["reason"]) == ("False", "GangReleased")
    assert "only 2 of 3 pods found a node within deadlines.placementMinutes 0.1" in said["message"]
    kept = place.status("part")["cluster"]
    assert (kept["number"], kept["releases"]) == (1, 1) and kept["retryAt"] in said["message"]
    assert "attempt" not in place.status("part"), "no attempt was spent"


@pytest.mark.fault("F36")
def test_a_pod_of_a_lost_node_is_replaced_by_force_and_a_ready_one_never(
    place: Place, operator: OperatorProcess, head_of: Callable[..., Head]
) -> None:
    place.submit("lost")
    head = head_of(place, "lost")
    head.train(20)
    lost, alive = "lost-1-worker-0", "lost-1-worker-1"
    for name in (lost, alive):
        # Nobody but a kubelet takes a pod away that has a node: these two stay in Terminating.
        place.bind_pod(name, f"node-of-{name}")
    place.patch_pod(lost, {"conditions": SILENT_NODE})
    before = {p.metadata.name: p.metadata.uid for p in place.pods()}
    for name in (lost, alive):
        place.core.delete_namespaced_pod(name, place.namespace)

    def now() -> dict[str, Any]:
        return {p.metadata.name: p for p in place.pods()}

    replaced = eventually(
        lambda: (new := now().get(lost)) and new.metadata.uid != before[lost] and new,
        says=lambda: (place.status("lost"), operator.said()),
    )
    assert replaced.spec.node_name is None, "the StatefulSet's own controller made it, the scheduler has it next"
    assert now()[alive].metadata.uid == before[alive], "kubelet says that it still runs"
    assert now()[alive].metadata.deletion_timestamp is not None
    assert place.status("lost")["cluster"]["number"] == 1
    head.train(30, attempt=2)
    eventually(lambda: place.status("lost")["attempt"]["number"] == 2)
