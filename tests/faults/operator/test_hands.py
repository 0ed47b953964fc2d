"""People edit, delete and pre-create what is ours; the operator repairs it or says so, and never fights."""

import asyncio
import copy
from typing import Any

import pytest

from faults.operator.parts.direct import Refused, path
from faults.operator.parts.invariants import RATE
from faults.operator.parts.lives import NAME, deletion
from faults.operator.parts.stage import Stage, stage
from ultrathink_api.causes import Cause
from ultrathink_api.protocol import StopView

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ultrathinkjobs.ultrathink.io"
LARGE = 200_000
"""Characters of an annotation; all annotations of an object may have 262,144."""
LOOK_S = 5.0


async def ignore(stage: Stage, gate: str) -> None:
    """A life whose gates need no look."""


@pytest.mark.fault("F16")
async def test_a_job_with_huge_annotations_lives_as_any_other(plane: Any) -> None:
    async with stage(plane) as one:
        await one.submit("huge")
        await one.patch("huge", {"metadata": {"annotations": {"example.com/notes": "x" * LARGE}}})
        head = await one.supervisor()
        for attempt in range(1, 15):
            head.train(attempt, attempt)
        await one.phase("huge", "Running")
        refused = [call.status for call in one.writes("ultrathinkjobs") if call.status >= 400]
        assert set(refused) <= {409}
        one.check()


@pytest.mark.fault("F19")
async def test_a_newer_crd_under_a_running_job_restarts_nothing(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("kept")
        pods = {pod["metadata"]["uid"] for pod in one.world.all("pods")}
        old = await one.api.get(CRD)
        newer = copy.deepcopy(old)
        for version in newer["spec"]["versions"]:
            spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
            spec["properties"]["later"] = {"type": "string"}
            rule = {"rule": "self.training.steps != 200", "message": "tightened: 200 steps are refused"}
            spec.setdefault("x-kubernetes-validations", []).append(rule)
        await one.api.replace(CRD, newer)
        try:
            head.commit(10)
            told = lambda: one.world.status("kept").get("checkpoint", {}).get("step") == 10  # noqa: E731
            await one.world.until(told, "the old job to be written under the new CRD")
            assert {pod["metadata"]["uid"] for pod in one.world.all("pods")} == pods
            assert (one.operator.starts, one.world.status("kept")["cluster"]["number"]) == (1, 1)
            one.check()
        finally:
            current = await one.api.get(CRD)
            await one.api.replace(CRD, {**current, "spec": old["spec"]})


@pytest.mark.fault("F20")
async def test_a_cluster_deleted_by_hand_is_made_again_as_the_next_one(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("lost")
        head.commit(10)
        await one.delete("lost-1-head", "statefulsets")
        successor = await one.supervisor(2)
        successor.train(11, attempt=2)
        number = lambda: (one.world.status("lost").get("attempt") or {}).get("number")  # noqa: E731
        await one.world.until(lambda: number() == 2, "the second attempt")
        await one.phase("lost", "Running")
        assert one.world.status("lost")["checkpoint"]["step"] == 10
        await one.world.until(lambda: "services/lost-1" not in one.world.left(), "nothing of cluster 1")
        one.check()


@pytest.mark.fault("F21")
async def test_replicas_changed_by_hand_are_put_right_without_a_fight(plane: Any) -> None:
    async with stage(plane) as one:
        await one.running("scaled")
        target = path(one.namespace, "statefulsets", "scaled-1-worker")
        await one.api.patch(target, {"spec": {"replicas": 5}})
        replicas = lambda: one.world.get("statefulsets", "scaled-1-worker")["spec"]["replicas"]  # noqa: E731
        await one.world.until(lambda: replicas() == 2, "2 replicas again")
        await one.quiet(1.0)
        taken = [call for call in one.writes("statefulsets", "PATCH") if call.status < 400]
        assert len(taken) == 1, "what was refused met a write of the set's controller"
        one.check()


@pytest.mark.fault("F22")
async def test_a_foreign_object_with_our_name_is_left_alone_and_told(plane: Any) -> None:
    async with stage(plane) as one:
        foreign = {"metadata": {"name": "taken-1"}, "data": {"whose": "somebody's"}}
        made = await one.api.create(path(one.namespace, "configmaps"), foreign)
        await one.submit("taken")
        await one.world.until(lambda: one.world.status("taken").get("reason") == "NameConflict", "NameConflict")
        assert "fix: " in one.world.status("taken")["message"]
        assert one.world.get("configmaps", "taken-1") == made | {"kind": "ConfigMap", "apiVersion": "v1"}
        await one.delete("taken-1", "configmaps")
        (await one.supervisor()).train(10)
        await one.phase("taken", "Running")
        one.check()


@pytest.mark.fault("F23")
async def test_a_job_deleted_while_it_saves_is_stopped_first_and_keeps_its_checkpoint(plane: Any) -> None:
    async with stage(plane) as one:
        await deletion(one, ignore)
        head = await one.supervisor()
        assert head.stops == 1, NAME
        assert head.said.checkpoint and head.said.checkpoint.step == 12
        one.check()


@pytest.mark.fault("F24")
async def test_a_job_whose_finalizer_was_stripped_leaves_nothing(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("forced")
        head.confirms = False
        await one.delete("forced")
        await one.patch("forced", {"metadata": {"finalizers": []}})
        await one.gone("forced")
        one.check()


@pytest.mark.fault("F25")
async def test_a_namespace_that_goes_is_not_fought_over(plane: Any) -> None:
    async with stage(plane) as one:
        await one.running("doomed")
        before = len(one.proxy.calls)
        await one.api.delete(f"/api/v1/namespaces/{one.namespace}")
        await asyncio.sleep(LOOK_S)
        assert len(one.proxy.calls) - before <= RATE * LOOK_S
        assert [c for c in one.proxy.calls[before:] if c.method == "POST" and c.plural != "leases"] == []
        assert one.operator.alive
        await one.patch("doomed", {"metadata": {"finalizers": []}})


@pytest.mark.fault("F26")
async def test_a_mutable_field_is_taken_over_in_place_once(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("tuned")
        await one.patch("tuned", {"spec": {"checkpoint": {"graceSeconds": 90}}})
        await one.world.until(lambda: head.said.generation == 2, "the supervisor to be told")
        seen = lambda: one.world.status("tuned").get("observedGeneration")  # noqa: E731
        await one.world.until(lambda: seen() == 2, "observedGeneration")
        await one.quiet(1.0)
        assert (head.specs, head.stops, one.world.status("tuned")["cluster"]["number"]) == (1, 0, 1)
        one.check()


@pytest.mark.fault("F27")
async def test_an_immutable_field_is_refused_with_a_fix(plane: Any) -> None:
    async with stage(plane) as one:
        await one.running("fixed")
        with pytest.raises(Refused) as refused:
            await one.patch("fixed", {"spec": {"model": {"preset": "dense-tiny"}}})
        assert refused.value.status == 422
        assert "fix" in str(refused.value)
        one.check()


@pytest.mark.fault("F28")
async def test_of_two_changes_and_a_revert_the_last_counts(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("wavering")
        for grace in (90, 120, 60):
            await one.patch("wavering", {"spec": {"checkpoint": {"graceSeconds": grace}}})
        await one.world.until(lambda: head.said.generation == 4, "the supervisor to be told the last")
        seen = lambda: one.world.status("wavering").get("observedGeneration")  # noqa: E731
        await one.world.until(lambda: seen() == 4, "observedGeneration")
        await one.quiet(1.0)
        assert (head.stops, one.world.status("wavering")["cluster"]["number"]) == (0, 1)
        assert one.world.status("wavering")["phase"] == "Running"
        one.check()


@pytest.mark.fault("F28")
async def test_a_change_taken_back_while_the_old_cluster_saves_for_it_goes_on_on_another_one(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("torn")
        head.effect, head.confirms = "newCluster", False
        await one.patch("torn", {"spec": {"workers": {"count": 4}}})
        await one.world.until(lambda: head.stops, "the supervisor to be asked to stop")
        head.effect = "inPlace"  # as it finds the spec that it was started with
        await one.patch("torn", {"spec": {"workers": {"count": 2}}})
        seen = lambda: one.world.status("torn").get("observedGeneration")  # noqa: E731
        await one.world.until(lambda: seen() == 3, "observedGeneration")
        head.commit(12)
        head.say(state="stopped", stop=StopView(reason=Cause.SUSPENDED, confirmed=True, step=12))
        (await one.supervisor(2)).train(13, attempt=2)
        await one.phase("torn", "Running")
        assert one.world.get("statefulsets", "torn-2-worker")["spec"]["replicas"] == 2
        one.check()
