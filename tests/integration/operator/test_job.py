"""The way of a job through the real operator: objects, progress, outcome, release; and every way out."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually
from integration.operator.parts.process import OperatorProcess

Heads = Callable[..., Head]


def phase_is(place: Place, job: str, phase: str) -> None:
    eventually(lambda: place.status(job).get("phase") == phase, says=lambda: place.status(job))


def test_a_job_gets_a_cluster_runs_succeeds_and_is_released(
    place: Place, operator: OperatorProcess, head_of: Heads
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
    phase_is(place, "quick", "Scheduling")

    head = head_of(place, "quick")
    phase_is(place, "quick", "Starting")
    head.train(20)
    phase_is(place, "quick", "Running")
    head.commit(100)
    eventually(lambda: place.status("quick").get("checkpoint", {}).get("step") == 100)
    head.train(200)
    head.end()
    phase_is(place, "quick", "Succeeded")

    status = place.status("quick")
    assert status["progress"]["step"] == 200
    assert status["checkpoint"]["verified"] is True
    assert status["attempt"]["number"] == 1
    assert status["goodput"]["ratio"] == "0.9"
    eventually(lambda: place.children() == [f"Secret/quick-1-{uid}"], says=lambda: (place.children(), operator.said()))
    assert "finalizers" not in place.job("quick")["metadata"]


def test_a_failed_job_says_code_message_and_fix(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("bad")
    head = head_of(place, "bad")
    head.fail("UserError", "UTK0401", "rank 1 ended with exit code 64")
    phase_is(place, "bad", "Failed")
    status = place.status("bad")
    assert status["reason"] == "UserError"
    assert status["message"] == "UTK0401 rank 1 ended with exit code 64 (fix: mend it)"


def test_deletion_saves_first_and_leaves_nothing(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("gone")
    head = head_of(place, "gone")
    head.train(20)
    head.confirms = False
    phase_is(place, "gone", "Running")
    place.delete_job("gone")
    phase_is(place, "gone", "Suspending")
    assert place.status("gone")["reason"] == "Deleting"
    eventually(lambda: head.stops > 0)
    assert "StatefulSet/gone-1-head" in place.children()
    head.confirm(step=21)
    eventually(lambda: not place.exists("gone"), says=operator.said)
    eventually(lambda: not place.children(), says=place.children)


@pytest.mark.fault("F29")
def test_a_pending_job_quotes_the_scheduler(place: Place, operator: OperatorProcess) -> None:
    place.submit("big")
    eventually(lambda: len(place.pods()) == 3)
    words = "0/1 nodes are available: 1 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    place.patch_pod("big-1-worker-0", {"conditions": [condition]})
    eventually(lambda: words in place.status("big").get("message", ""), says=lambda: place.status("big"))
    assert place.status("big")["reason"] == "Unschedulable"
    assert place.status("big")["phase"] == "Scheduling"


@pytest.mark.fault("F30")
def test_a_quota_is_quoted(place: Place, operator: OperatorProcess) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}}
    place.core.create_namespaced_resource_quota(place.namespace, quota)
    eventually(lambda: place.core.read_namespaced_resource_quota("small", place.namespace).status.hard)
    place.submit("many")
    eventually(
        lambda: place.status("many").get("phase") == "Queued", says=lambda: (place.status("many"), operator.said())
    )
    assert place.status("many")["reason"] == "QuotaExceeded"
    assert "limited: pods=1" in place.status("many")["message"]


@pytest.mark.fault("F31")
def test_an_image_that_cannot_be_pulled_is_named_with_a_fix(place: Place, operator: OperatorProcess) -> None:
    place.submit("imageless")
    eventually(lambda: len(place.pods()) == 3)
    waiting = {"reason": "ErrImagePull", "message": 'rpc error: "registry.example/trainer:1": not found'}
    container = {"name": "trainer", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Pending", "containerStatuses": [{**container, "state": {"waiting": waiting}}]}
    place.patch_pod("imageless-1-head-0", status)
    eventually(
        lambda: place.status("imageless").get("reason") == "ImagePullError", says=lambda: place.status("imageless")
    )
    said = place.status("imageless")
    assert "registry.example/trainer:1" in said["message"] and "make images" in said["message"]
    assert "attempt" not in said


@pytest.mark.fault("F32")
def test_a_missing_secret_is_told_from_events_alone(place: Place, operator: OperatorProcess) -> None:
    place.submit("secretless")
    eventually(lambda: len(place.pods()) == 3)
    pod = place.pods()[0]
    about = {"kind": "Pod", "name": pod.metadata.name, "namespace": place.namespace, "uid": pod.metadata.uid}
    words = 'MountVolume.SetUp failed for volume "storage": secret "s3" not found'
    event = {"metadata": {"name": "mount"}, "involvedObject": about, "type": "Warning", "reason": "FailedMount"}
    place.core.create_namespaced_event(place.namespace, {**event, "message": words})
    eventually(
        lambda: place.status("secretless").get("reason") == "FailedMount", says=lambda: place.status("secretless")
    )
    assert words in place.status("secretless")["message"]


def test_what_only_the_planner_can_refuse_is_told_with_code_and_fix(place: Place, operator: OperatorProcess) -> None:
    place.submit("odd", training={"steps": 20, "globalBatchTokens": 2049})
    eventually(lambda: place.condition("odd", "Valid").get("status") == "False", says=lambda: place.status("odd"))
    message = place.condition("odd", "Valid")["message"]
    assert message.startswith("UTK0112 spec.training.globalBatchTokens: ")
    assert "(fix: set training.globalBatchTokens: 2048)" in message
    assert place.status("odd")["phase"] == "Pending"
    assert place.children() == []


def test_a_deleted_cluster_gets_a_successor(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("twice")
    head_of(place, "twice").train(20)
    phase_is(place, "twice", "Running")
    place.apps.delete_namespaced_stateful_set("twice-1-head", place.namespace)
    eventually(lambda: place.sets() == ["twice-2-head", "twice-2-worker"], says=lambda: (place.sets(), operator.said()))
    assert place.status("twice")["cluster"]["number"] == 2
    second = head_of(place, "twice", number=2)
    second.train(30, attempt=2)
    phase_is(place, "twice", "Running")
    assert place.status("twice")["attempt"]["number"] == 2
    eventually(lambda: not [c for c in place.children() if "/twice-1" in c and not c.startswith("Secret/")])


def test_a_lost_head_recovers_on_the_same_cluster(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("phoenix")
    head_of(place, "phoenix").train(20)
    phase_is(place, "phoenix", "Running")
    place.core.delete_namespaced_pod("phoenix-1-head-0", place.namespace)
    phase_is(place, "phoenix", "Recovering")
    head_of(place, "phoenix").train(25, attempt=2)
    phase_is(place, "phoenix", "Running")
    assert place.status("phoenix")["cluster"]["number"] == 1
    assert place.status("phoenix")["attempt"]["number"] == 2


@pytest.mark.fault("F22")
def test_a_foreign_object_is_never_adopted(place: Place, operator: OperatorProcess) -> None:
    foreign = {"metadata": {"name": "mine-1"}, "spec": {"clusterIP": "None", "selector": {"app": "mine"}}}
    uid = place.core.create_namespaced_service(place.namespace, foreign).metadata.uid
    place.submit("mine")
    eventually(lambda: place.status("mine").get("reason") == "NameConflict", says=lambda: place.status("mine"))
    assert "Service mine-1 exists" in place.status("mine")["message"]
    assert place.sets() == []
    place.core.delete_namespaced_service("mine-1", place.namespace)
    eventually(lambda: place.sets() == ["mine-1-head", "mine-1-worker"], says=lambda: place.status("mine"))
    assert place.core.read_namespaced_service("mine-1", place.namespace).metadata.uid != uid
    eventually(lambda: place.status("mine").get("reason") != "NameConflict")


def test_an_idle_job_is_left_alone(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("calm")
    head = head_of(place, "calm")
    head.train(20)
    phase_is(place, "calm", "Running")
    eventually(lambda: place.condition("calm", "Degraded").get("status") == "False")
    settled, asked = place.job("calm")["metadata"]["resourceVersion"], head.asked
    eventually(lambda: head.asked >= asked + 1)
    assert place.job("calm")["metadata"]["resourceVersion"] == settled


@pytest.mark.parametrize("effect", ["inPlace", "newCluster"])
def test_a_changed_spec_reaches_the_supervisor(
    place: Place, operator: OperatorProcess, head_of: Heads, effect: Any
) -> None:
    place.submit("changing")
    head = head_of(place, "changing")
    head.spec_effect = effect
    head.train(20)
    phase_is(place, "changing", "Running")
    place.patch_job("changing", {"spec": {"restart": {"budget": {"max": 3}}}})
    if effect == "inPlace":
        eventually(lambda: head.progress.generation == 2)
    else:
        eventually(lambda: place.status("changing").get("cluster", {}).get("number") == 2, says=operator.said)
        assert head.stops > 0


def test_somebody_else_writing_the_job_all_the_time_does_not_stop_us(
    place: Place, operator: OperatorProcess, head_of: Heads
) -> None:
    place.submit("busy")
    with Writing(place, "busy") as writing:
        head = head_of(place, "busy")
        head.train(20)
        phase_is(place, "busy", "Running")
        head.end()
        phase_is(place, "busy", "Succeeded")
    assert place.job("busy")["metadata"]["annotations"]["team.example/count"] == str(writing.count)


class Writing:
    """Patches an annotation of a job twenty times a second."""

    def __init__(self, place: Place, job: str) -> None:
        self._place, self._job, self._done = place, job, threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.count = 0

    def __enter__(self) -> "Writing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._done.wait(0.05):
            annotations = {"team.example/count": str(self.count + 1)}
            self._place.patch_job(self._job, {"metadata": {"annotations": annotations}})
            self.count += 1
