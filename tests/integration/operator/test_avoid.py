"""A node that wore a job out is avoided, on a real API server: by the set first, then by the pod."""

from collections.abc import Callable
from typing import Any

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually
from integration.operator.parts.process import OperatorProcess

WORKER = "worn-1-worker"


def kept_off(spec: Any) -> list[str]:
    """The nodes that a pod's spec excludes."""
    if spec.affinity is None or spec.affinity.node_affinity is None:
        return []
    required = spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    return list(required.node_selector_terms[0].match_fields[0].values) if required else []


def test_the_replacement_of_a_pod_on_a_bad_node_is_kept_off_it_and_the_others_stay(
    place: Place, operator: OperatorProcess, head_of: Callable[..., Head]
) -> None:
    place.submit("worn")
    head = head_of(place, "worn")
    place.bind_pod(f"{WORKER}-0", "gpu-1")
    place.bind_pod(f"{WORKER}-1", "gpu-2")
    head.train(20)
    before = {p.metadata.name: p.metadata.uid for p in place.pods()}
    head.blame("gpu-2")

    def workers() -> Any:
        return place.apps.read_namespaced_stateful_set(WORKER, place.namespace)

    def pod() -> Any:
        return next(p for p in place.pods() if p.metadata.name == f"{WORKER}-1")

    eventually(lambda: pod().metadata.deletion_timestamp, says=lambda: (place.status("worn"), operator.said()))
    assert kept_off(workers().spec.template.spec) == ["gpu-2"], "known before the pod was asked to go"
    assert workers().spec.replicas == 2
    eventually(lambda: place.status("worn").get("avoided"))
    assert place.status("worn")["avoided"][0]["node"] == "gpu-2"

    place.core.delete_namespaced_pod(f"{WORKER}-1", place.namespace, grace_period_seconds=0)
    moved = eventually(lambda: next((p for p in place.pods() if p.metadata.uid not in before.values()), None))
    assert (moved.metadata.name, kept_off(moved.spec)) == (f"{WORKER}-1", ["gpu-2"])
    kept = {p.metadata.name: p.metadata.uid for p in place.pods() if p.metadata.name != f"{WORKER}-1"}
    assert kept.items() <= before.items(), "nobody else moved"
