"""Writes to a real API server: repeated, conflicting, late, and on objects that are not ours."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from integration.operator.parts.clients import api_for
from integration.operator.parts.place import Place
from ultrathink_api import names
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_api.status import ClusterStatus, JobStatus
from ultrathink_operator import actions as do
from ultrathink_operator import kinds
from ultrathink_operator.apply import Applier, Refusal, Stale
from ultrathink_operator.client import Api
from ultrathink_operator.clock import ServerClock
from ultrathink_operator.explain import Explainer
from ultrathink_operator.lease import NotLeader
from ultrathink_operator.observe import House, JobView, job_view, set_view
from ultrathink_operator.policies import admission
from ultrathink_operator.progress import Supervisors
from ultrathink_operator.render.cluster import objects
from ultrathink_operator.world import World

RUNTIME = RuntimeSpec.model_validate({"image": "registry.example/trainer:1", "storage": {"uri": "s3://runs"}})


@dataclass
class Hands:
    """An applier with its world, and whether it leads."""

    place: Place
    applier: Applier
    world: World
    leads: bool = True

    def fence(self) -> None:
        if not self.leads:
            raise NotLeader

    def job(self, name: str = "q") -> JobView:
        return job_view(self.place.job(name))

    def manifests(self, job: JobView) -> list[dict[str, Any]]:
        """The objects of the job's first cluster."""
        seen = self.world.observe(job, self.applier._supervisors, self.applier._explainer, now=0.0)
        admitted, _ = admission.admit(seen)
        assert admitted is not None
        return list(objects(admitted.order(seen, 1)))


@pytest.fixture
async def hands(lonely: Place) -> AsyncIterator[Hands]:
    api: Api = await api_for(lonely.plane.kubeconfig)
    clock = ServerClock()
    world = World(api, [lonely.namespace], House(lonely.namespace, RUNTIME), print, print)
    supervisors, explainer = Supervisors([b"k" * 32], clock, print), Explainer(api, print)
    made: list[Hands] = []
    applier = Applier(api, world, supervisors, explainer, b"k" * 32, lambda: made[0].fence(), clock.now)
    made.append(Hands(lonely, applier, world))
    lonely.submit("q")
    yield made[0]
    await supervisors.close()
    await api.close()


async def test_making_what_we_have_made_already_is_success(hands: Hands) -> None:
    job = hands.job()
    for _ in range(2):
        for manifest in hands.manifests(job):
            await hands.applier.act(job, do.Create(manifest))
        await hands.applier.act(job, do.CreateTokens(1))
    assert hands.place.sets() == ["q-1-head", "q-1-worker"]
    assert f"Secret/q-1-{job.meta.uid}" in hands.place.children()


async def test_an_own_write_is_in_the_store_at_once(hands: Hands) -> None:
    job = hands.job()
    for manifest in hands.manifests(job):
        await hands.applier.act(job, do.Create(manifest))
    held = hands.world.store(kinds.STATEFUL_SET, hands.place.namespace).of_job(job.meta.uid)
    assert [view.meta.name for view in held] == ["q-1-head", "q-1-worker"]


async def test_what_bears_the_name_and_is_not_ours_is_a_conflict(hands: Hands) -> None:
    job = hands.job()
    foreign = {"metadata": {"name": "q-1"}, "data": {}}
    hands.place.core.create_namespaced_config_map(hands.place.namespace, foreign)
    (manifest,) = [m for m in hands.manifests(job) if m["kind"] == "ConfigMap"]
    with pytest.raises(Refusal) as refused:
        await hands.applier.act(job, do.Create(manifest))
    assert refused.value.trouble.reason == "NameConflict"
    assert "ConfigMap q-1" in refused.value.trouble.message


async def test_the_rest_of_a_cluster_is_deleted_but_not_what_is_foreign(hands: Hands) -> None:
    job = hands.job()
    for manifest in hands.manifests(job):
        if manifest["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            await hands.applier.act(job, do.Create(manifest))
    hands.place.core.create_namespaced_config_map(hands.place.namespace, {"metadata": {"name": "q-1"}})
    await hands.applier.act(job, do.DeleteRest(1))
    await hands.applier.act(job, do.DeleteRest(1))
    assert hands.place.children() == ["ConfigMap/q-1"]


async def test_a_deletion_means_one_object_and_not_its_successor(hands: Hands) -> None:
    job = hands.job()
    for manifest in hands.manifests(job):
        await hands.applier.act(job, do.Create(manifest))
    await hands.applier.act(job, do.Delete("StatefulSet", "q-1-head", "00000000-0000-0000-0000-000000000000"))
    assert hands.place.sets() == ["q-1-head", "q-1-worker"]
    head = hands.place.apps.read_namespaced_stateful_set("q-1-head", hands.place.namespace)
    for _ in range(2):
        await hands.applier.act(job, do.Delete("StatefulSet", "q-1-head", head.metadata.uid))
    assert hands.place.sets() == ["q-1-worker"]


async def test_the_finalizer_comes_and_goes_and_leaves_others_alone(hands: Hands) -> None:
    hands.place.patch_job("q", {"metadata": {"finalizers": ["team.example/audit"]}})
    await hands.applier.act(hands.job(), do.Hold())
    assert set(hands.job().finalizers) == {"team.example/audit", names.FINALIZER}
    await hands.applier.act(hands.job(), do.Release())
    assert hands.job().finalizers == ("team.example/audit",)
    assert hands.place.job("q")["spec"]["workers"] == {"count": 2, "gpus": 0}


async def test_a_status_is_written_as_it_is_and_read_back_equal(hands: Hands) -> None:
    status = JobStatus(cluster=ClusterStatus(number=3), reason="Because", message="words")
    await hands.applier.write_status(hands.job(), status)
    assert hands.job().stored_status == status.dump()
    shorter = JobStatus(cluster=ClusterStatus(number=4))
    await hands.applier.write_status(hands.job(), shorter)
    assert hands.job().stored_status == shorter.dump()


async def test_a_late_write_does_not_land(hands: Hands) -> None:
    """What a deposed leader decided before it was paused."""
    late = hands.job()
    await hands.applier.write_status(hands.job(), JobStatus(cluster=ClusterStatus(number=5)))
    with pytest.raises(Stale):
        await hands.applier.write_status(late, JobStatus(cluster=ClusterStatus(number=1)))
    assert hands.job().status.cluster == ClusterStatus(number=5)


async def test_a_write_to_a_job_that_was_made_again_does_not_land(hands: Hands) -> None:
    old = hands.job()
    hands.place.delete_job("q")
    hands.place.submit("q")
    with pytest.raises(Stale):
        await hands.applier.write_status(old, JobStatus(cluster=ClusterStatus(number=9)))
    assert hands.job().stored_status == {}


async def test_a_write_to_a_job_that_is_gone_brings_nothing_back(hands: Hands) -> None:
    old = hands.job()
    hands.place.delete_job("q")
    with contextlib.suppress(Stale):
        await hands.applier.act(old, do.Hold())
    assert not hands.place.exists("q")


async def test_a_set_gets_its_replicas_back(hands: Hands) -> None:
    job = hands.job()
    for manifest in hands.manifests(job):
        await hands.applier.act(job, do.Create(manifest))
    scale = {"spec": {"replicas": 7}}
    hands.place.apps.patch_namespaced_stateful_set_scale("q-1-worker", hands.place.namespace, scale)
    while [v.replicas for v in _sets(hands)] != [1, 2]:
        # The StatefulSet's own controller writes too: a look that is out of date is refused, and taken again.
        (worker,) = [v for v in _sets(hands) if v.meta.name == "q-1-worker"]
        with contextlib.suppress(Stale):
            await hands.applier.act(job, do.Scale("q-1-worker", worker.meta.uid, worker.meta.version, 2))
    assert [v.replicas for v in _sets(hands)] == [1, 2]


async def test_a_set_is_kept_off_nodes_and_let_back_without_losing_its_replicas(hands: Hands) -> None:
    job = hands.job()
    for manifest in hands.manifests(job):
        await hands.applier.act(job, do.Create(manifest))
    for wanted in (("gpu-1", "gpu-7"), ()):
        while (worker := next(v for v in _sets(hands) if v.meta.name == "q-1-worker")).avoided != wanted:
            with contextlib.suppress(Stale):
                scale = do.Scale("q-1-worker", worker.meta.uid, worker.meta.version, 2, wanted)
                await hands.applier.act(job, scale)
        assert worker.replicas == 2


async def test_nothing_is_written_by_who_does_not_lead(hands: Hands) -> None:
    job = hands.job()
    hands.leads = False
    for action in (do.Hold(), do.Create(hands.manifests(job)[0]), do.CreateTokens(1), do.Stop(5.0)):
        with pytest.raises(NotLeader):
            await hands.applier.act(job, action)
    with pytest.raises(NotLeader):
        await hands.applier.write_status(job, JobStatus())
    assert hands.place.children() == []


async def test_a_pod_that_lives_is_not_forced_whatever_was_decided(hands: Hands) -> None:
    metadata = {"name": "alive", "labels": {"ultrathink.io/job-uid": hands.job().meta.uid}}
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {"containers": [{"name": "c", "image": "x", "securityContext": security}]}
    pod = hands.place.core.create_namespaced_pod(hands.place.namespace, {"metadata": metadata, "spec": spec})
    await hands.applier.act(hands.job(), do.ForceDelete("alive", pod.metadata.uid))
    try:
        hands.place.core.read_namespaced_pod("alive", hands.place.namespace)
    except ApiException as error:
        raise AssertionError("the pod is gone") from error


def _sets(hands: Hands) -> list[Any]:
    api = hands.place.api
    listed = api.sanitize_for_serialization(hands.place.apps.list_namespaced_stateful_set(hands.place.namespace))
    return [set_view(raw) for raw in listed["items"]]
