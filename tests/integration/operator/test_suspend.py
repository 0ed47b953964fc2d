"""Suspended, resumed, restarted, cancelled: by the real operator, through a real API server."""

from collections.abc import Callable

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually
from integration.operator.parts.process import OperatorProcess

Heads = Callable[..., Head]


def phase_is(place: Place, job: str, phase: str) -> None:
    eventually(lambda: place.status(job).get("phase") == phase, says=lambda: place.status(job))


def test_a_suspended_job_saves_gives_all_back_and_goes_on_on_the_next_cluster(
    place: Place, operator: OperatorProcess, head_of: Heads
) -> None:
    uid = place.submit("nap")["metadata"]["uid"]
    head = head_of(place, "nap")
    head.train(20)
    head.confirms = False
    phase_is(place, "nap", "Running")
    place.patch_job("nap", {"spec": {"suspend": True}})
    phase_is(place, "nap", "Suspending")
    eventually(lambda: head.stops > 0)
    assert place.sets() == ["nap-1-head", "nap-1-worker"]
    head.commit(21)
    head.confirm(step=21)
    phase_is(place, "nap", "Suspended")
    assert place.children() == [f"Secret/nap-1-{uid}"]
    assert "finalizers" not in place.job("nap")["metadata"]
    assert "step 21" in place.status("nap")["message"]

    place.patch_job("nap", {"spec": {"suspend": False}})
    second = head_of(place, "nap", number=2)
    second.train(30, attempt=2)
    phase_is(place, "nap", "Running")
    status = place.status("nap")
    assert (status["cluster"]["number"], status["attempt"]["number"]) == (2, 2)
    assert "suspendedAt" not in status
    assert place.condition("nap", "Suspended")["status"] == "False"


def test_a_cancelled_job_saves_and_has_failed_for_good(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("over")
    head = head_of(place, "over")
    head.train(20)
    phase_is(place, "over", "Running")
    place.patch_job("over", {"spec": {"cancel": True}})
    phase_is(place, "over", "Failed")
    assert place.status("over")["reason"] == "Cancelled"
    assert head.stops > 0
    eventually(lambda: not place.sets(), says=place.children)


def test_a_restart_is_told_to_the_supervisor(place: Place, operator: OperatorProcess, head_of: Heads) -> None:
    place.submit("again")
    head = head_of(place, "again")
    head.train(20)
    phase_is(place, "again", "Running")
    place.patch_job("again", {"spec": {"restartedAt": "2026-01-02T00:00:00Z"}})
    eventually(lambda: head.told and head.told["spec"].get("restartedAt") == "2026-01-02T00:00:00Z")
    assert place.status("again")["cluster"]["number"] == 1
