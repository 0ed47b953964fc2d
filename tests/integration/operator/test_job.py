"""The way of a job through the real operator: objects, progress, outcome, release."""

from collections.abc import Callable

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually
from integration.operator.parts.process import OperatorProcess


def test_a_job_gets_a_cluster_runs_succeeds_and_is_released(
    place: Place, operator: OperatorProcess, head_of: Callable[..., Head]
) -> None:
    uid = place.submit("quick")["metadata"]["uid"]
    wanted = [
        "ConfigMap/quick-1",
        "NetworkPolicy/quick-1",
        "Pod/quick-1-head-0",
        "Pod/quick-1-worker-0",
        "Pod/quick-1-worker-1",
        "PodDisruptionBudget/quick-1",
        f"Secret/quick-1-{uid}",
        "Service/quick-1",
        "StatefulSet/quick-1-head",
        "StatefulSet/quick-1-worker",
    ]
    eventually(lambda: place.children() == wanted, says=lambda: (place.children(), operator.said()))
    eventually(lambda: place.status("quick").get("phase") == "Scheduling", says=lambda: place.status("quick"))

    head = head_of("quick")
    eventually(lambda: place.status("quick").get("phase") == "Starting", says=lambda: place.status("quick"))
    head.train(20)
    eventually(lambda: place.status("quick").get("phase") == "Running", says=lambda: place.status("quick"))
    head.commit(100)
    eventually(lambda: place.status("quick").get("checkpoint", {}).get("step") == 100)
    head.train(200)
    head.end()
    eventually(lambda: place.status("quick").get("phase") == "Succeeded", says=lambda: place.status("quick"))

    status = place.status("quick")
    assert status["progress"]["step"] == 200
    assert status["checkpoint"]["verified"] is True
    assert status["attempt"]["number"] == 1
    assert status["goodput"]["ratio"] == "0.9"
    eventually(lambda: place.children() == [f"Secret/quick-1-{uid}"], says=lambda: (place.children(), operator.said()))
    assert "finalizers" not in place.job("quick")["metadata"]
