"""The life of a job, as decide() leads it."""

from dataclasses import replace
from typing import Any

import pytest

from ultrathink_api import names
from ultrathink_api.protocol import CheckpointTrouble
from ultrathink_api.status import CheckpointStatus, GoodputStatus
from ultrathink_operator import actions as do
from ultrathink_operator.observe import Supervisor, Trouble
from ultrathink_operator.policies.change import LOOK_AGAIN_S
from ultrathink_operator.policies.writing import PROGRESS_EVERY_S, timestamp
from unit.operator.parts.cluster import Cluster, running


class TestACreatedJob:
    def test_is_held_and_numbered_before_anything_is_made(self) -> None:
        cluster = Cluster()
        first = cluster.step()
        assert first.actions == (do.Hold(),)
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 1
        assert not cluster.objects

    def test_gets_its_objects_service_first_and_sets_last(self) -> None:
        cluster = Cluster()
        cluster.step()
        made = cluster.step().actions
        kinds = [a.manifest["kind"] if isinstance(a, do.Create) else "Secret" for a in made]
        assert kinds == [
            "Service",
            "Secret",
            "ConfigMap",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "StatefulSet",
            "StatefulSet",
        ]

    def test_remembers_its_runtime_though_the_operator_dies_when_all_is_made_and_nothing_said(self) -> None:
        cluster = Cluster()
        cluster.step()
        made = cluster.decide().actions
        cluster.step(actions=len(made))
        assert cluster.status.runtime is None
        cluster.settle()
        assert cluster.status.runtime is not None

    def test_waits_for_its_pods(self) -> None:
        cluster = Cluster()
        cluster.settle()
        assert cluster.status.phase == "Scheduling"
        assert cluster.condition("Scheduled") == ("False", "Placing")
        assert cluster.status.message == "0 of 3 pods run"

    def test_is_starting_once_they_run(self) -> None:
        cluster = Cluster()
        cluster.settle()
        cluster.run_pods()
        cluster.settle()
        assert cluster.status.phase == "Starting"

    def test_trouble_with_checkpoints_is_said_with_its_reason_and_heals(self) -> None:
        cluster = running(step=50)
        trouble = CheckpointTrouble(reason="StoreUnreachable", message="the server does not answer")
        cluster.supervise("running", 51, trouble=trouble)
        cluster.settle()
        fresh = cluster.status.condition("CheckpointFresh")
        assert fresh is not None
        assert (fresh.status, fresh.reason, fresh.message) == ("False", trouble.reason, trouble.message)
        assert cluster.status.phase == "Running", "training goes on"
        taken = CheckpointStatus(step=52, uri="s3://runs/x", committed_at=timestamp(cluster.now))
        cluster.supervise("running", 52, checkpoint=taken)
        cluster.settle()
        fresh = cluster.status.condition("CheckpointFresh")
        assert fresh is not None and fresh.status == "True"

    def test_runs_when_its_supervisor_says_so(self) -> None:
        cluster = running(step=7)
        assert cluster.status.phase == "Running"
        assert cluster.status.progress is not None and cluster.status.progress.step == 7
        assert cluster.status.attempt is not None and cluster.status.attempt.number == 1

    def test_shows_its_plan_at_once(self) -> None:
        cluster = Cluster()
        cluster.step()
        assert cluster.status.plan is not None
        assert cluster.status.plan.world_size == 2
        assert cluster.status.plan.parameters.total > cluster.status.plan.parameters.active


class TestAHealthyJob:
    def test_needs_no_write_and_no_action(self) -> None:
        decision = running().decide()
        assert decision.status is None
        assert decision.actions == ()

    def test_has_its_progress_written_every_thirty_seconds_and_not_before(self) -> None:
        cluster = running(step=50)
        cluster.now += 10
        cluster.supervise("running", 60)
        early = cluster.decide()
        assert early.status is None
        assert early.wake_after == pytest.approx(PROGRESS_EVERY_S - 10, abs=1)
        cluster.now += PROGRESS_EVERY_S
        assert cluster.decide().status is not None

    def test_has_the_account_of_a_long_recovery_written_as_seldom(self) -> None:
        cluster = running(step=50)
        cluster.supervise("recovering")
        cluster.settle()
        cluster.now += 5
        cluster.supervise("recovering", goodput=GoodputStatus(ratio="0.5", seconds={"other": 5.0}))
        assert cluster.decide().status is None
        cluster.now += PROGRESS_EVERY_S
        assert cluster.decide().status is not None

    def test_has_a_new_attempt_written_at_once(self) -> None:
        cluster = running(step=50)
        cluster.now += 1
        cluster.attempt += 1
        cluster.supervise("running", 41)
        decision = cluster.decide()
        assert decision.status is not None and decision.status.attempt is not None
        assert decision.status.attempt.number == 2

    def test_ignores_an_answer_of_an_earlier_attempt(self) -> None:
        cluster = running(step=50)
        cluster.attempt = 3
        cluster.supervise("running", 60)
        cluster.settle()
        cluster.attempt = 2
        cluster.supervise("running", 199)
        cluster.wait(60)
        assert cluster.status.attempt is not None and cluster.status.attempt.number == 3
        assert cluster.status.progress is not None and cluster.status.progress.step == 60

    def test_ignores_an_answer_about_another_cluster(self) -> None:
        cluster = running(step=50)
        cluster.supervise("running", 199, cluster=7)
        cluster.wait(60)
        assert cluster.status.progress is not None and cluster.status.progress.step == 50

    def test_is_looked_at_every_minute_even_if_nothing_is_heard(self) -> None:
        wake_after = running().decide().wake_after
        assert wake_after is not None and wake_after <= 60


class TestAFreshOperator:
    def test_writes_nothing_while_it_has_not_asked_the_supervisor_yet(self) -> None:
        cluster = running()
        cluster.supervisor = None
        assert cluster.decide().status is None

    def test_decides_nothing_before_everything_was_listed(self) -> None:
        cluster = running()
        cluster.objects.clear()
        cluster.synced = False
        decision = cluster.decide()
        assert decision.actions == () and decision.status is None

    def test_names_a_right_that_it_lacks_in_the_jobs_own_status(self) -> None:
        cluster = Cluster(synced=False, troubles=(Trouble("OperatorMisconfigured", "may not list pods"),))
        cluster.step()
        assert cluster.condition("Admitted") == ("False", "OperatorMisconfigured")
        assert cluster.status.message == "may not list pods"


class TestASilentSupervisor:
    def test_is_unknown_and_nothing_else(self) -> None:
        cluster = running()
        cluster.silence()
        cluster.wait(60)
        assert cluster.status.phase == "Running"
        assert cluster.status.reason == "ProgressUnknown"
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 1

    def test_is_replaced_when_kubelet_says_the_same_for_five_minutes(self) -> None:
        cluster = running()
        cluster.silence()
        cluster.set_pod("q-1-head-0", "Running", "False")
        cluster.wait(299)
        assert cluster.names("StatefulSet") == ["q-1-head", "q-1-worker"]
        cluster.wait(2)
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 2
        assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]

    def test_is_not_replaced_while_kubelet_calls_it_ready(self) -> None:
        cluster = running()
        cluster.silence()
        cluster.wait(3600)
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 1


class TestALostHead:
    def test_shows_at_once_and_recovers(self) -> None:
        cluster = running(step=50)
        cluster.lose("Pod", "q-1-head-0")
        cluster.settle()
        assert cluster.status.phase == "Recovering"
        assert cluster.condition("Running") == ("False", "HeadLost")
        cluster.run_pods()
        cluster.supervise("running", 51)
        cluster.settle()
        assert cluster.status.phase == "Running"
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 1

    def test_is_left_to_its_stateful_set(self) -> None:
        cluster = running()
        cluster.lose("Pod", "q-1-head-0")
        acted = [a for d in cluster.log[-1:] for a in d.actions]
        assert acted == []


class TestALostCluster:
    @pytest.mark.parametrize("name", ["q-1-head", "q-1-worker"])
    def test_gets_a_successor_with_the_next_number(self, name: str) -> None:
        cluster = running()
        cluster.lose("StatefulSet", name)
        decision = cluster.step()
        assert not [a for a in decision.actions if isinstance(a, do.Create)]
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 2
        assert cluster.condition("Running") == ("False", "ClusterLost")
        cluster.settle()
        assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]
        assert cluster.names("ConfigMap") == ["q-2"]

    def test_is_no_news_while_it_is_still_being_made(self) -> None:
        cluster = Cluster()
        cluster.step()
        cluster.step(actions=4)
        cluster.settle()
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 1
        assert cluster.names("StatefulSet") == ["q-1-head", "q-1-worker"]

    def test_a_late_creation_of_a_deposed_leader_is_cleared_away(self) -> None:
        cluster = running()
        old = {key: raw for key, raw in cluster.objects.items() if key[0] in ("StatefulSet", "Service")}
        cluster.lose("StatefulSet", "q-1-head")
        cluster.settle()
        cluster.objects |= old
        cluster.settle()
        assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]
        assert cluster.names("Service") == ["q-2"]


class TestADeletedService:
    def test_is_made_again_without_touching_the_pods(self) -> None:
        cluster = running()
        pods = {name: cluster.pod(name)["metadata"]["uid"] for name in cluster.names("Pod")}
        cluster.lose("Service", "q-1")
        cluster.settle()
        assert cluster.names("Service") == ["q-1"]
        assert pods == {name: cluster.pod(name)["metadata"]["uid"] for name in cluster.names("Pod")}


class TestAScaledSet:
    def test_gets_the_replicas_back_that_its_plan_was_made_for(self) -> None:
        cluster = running()
        cluster.objects["StatefulSet", "q-1-worker"]["spec"]["replicas"] = 5
        cluster.settle()
        assert cluster.objects["StatefulSet", "q-1-worker"]["spec"]["replicas"] == 2


class TestAForeignObject:
    def test_of_an_older_number_is_never_deleted(self) -> None:
        cluster = running()
        cluster.lose("StatefulSet", "q-1-head")
        cluster.step()
        foreign = cluster.objects["StatefulSet", "q-1-worker"]
        foreign["metadata"]["ownerReferences"] = [{"uid": "another", "controller": True}]
        cluster.settle()
        assert "q-1-worker" in cluster.names("StatefulSet")

    def test_in_our_place_is_told_by_name(self) -> None:
        cluster = Cluster()
        cluster.step()
        cluster.troubles = (Trouble("NameConflict", "Service q-1 exists and is not this job's"),)
        decision = cluster.decide()
        assert decision.status is not None
        assert decision.status.reason == "NameConflict"


class TestAChangedSpec:
    def test_is_told_to_the_supervisor(self) -> None:
        cluster = running()
        cluster.change_spec(restart={"budget": {"max": 2}})
        cluster.supervise("running", 60, generation=1)
        sent = [a for a in cluster.decide().actions if isinstance(a, do.SendSpec)]
        assert [a.generation for a in sent] == [2]

    def test_that_needs_another_cluster_saves_first_and_then_goes_on_there(self) -> None:
        cluster = running()
        cluster.change_spec(workers={"count": 4})
        cluster.supervise("running", 60, generation=1)
        assert cluster.supervisor is not None
        cluster.supervisor = replace(cluster.supervisor, needs_cluster=2)
        assert cluster.step().actions == (do.Stop(60.0),)
        assert cluster.names("StatefulSet") == ["q-1-head", "q-1-worker"]
        cluster.confirm_stop(60)
        cluster.settle()
        assert cluster.status.cluster is not None and cluster.status.cluster.number == 2
        assert cluster.objects["StatefulSet", "q-2-worker"]["spec"]["replicas"] == 4

    def test_that_is_taken_back_while_the_old_cluster_saves_goes_on_on_another_one_all_the_same(self) -> None:
        cluster = running()
        cluster.change_spec(workers={"count": 4})
        cluster.settle()
        cluster.change_spec(workers={"count": 2})
        cluster.settle()
        assert (cluster.status.phase, cluster.status.reason) == ("Recovering", "SpecChanged")
        assert cluster.decide().wake_after == LOOK_AGAIN_S
        cluster.confirm_stop(60)
        cluster.settle()
        assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]
        assert cluster.objects["StatefulSet", "q-2-worker"]["spec"]["replicas"] == 2

    def test_that_is_refused_leaves_the_old_one_running_and_says_so(self) -> None:
        cluster = running()
        cluster.change_spec(workers={"count": 3})
        cluster.supervise("running", 60, generation=1)
        cluster.settle()
        assert cluster.status.phase == "Running"
        assert cluster.status.reason == "Invalid"
        assert cluster.names("StatefulSet") == ["q-1-head", "q-1-worker"]


@pytest.mark.parametrize("spec", [{}, {"workers": {"count": 3}}], ids=["a good spec", "a refused spec"])
def test_a_stop_that_nobody_wants_leads_to_another_cluster(spec: dict[str, Any]) -> None:
    cluster = running()
    if spec:
        cluster.change_spec(**spec)
    cluster.confirm_stop(60)
    cluster.settle()
    assert cluster.seen().number == 2


def test_one_worker_lives_in_the_head() -> None:
    cluster = Cluster(spec={**Cluster().spec, "workers": {"count": 1}})
    cluster.settle()
    assert cluster.names("StatefulSet") == ["q-1-head"]
    cluster.run_pods()
    cluster.settle()
    assert cluster.status.workers is not None
    assert (cluster.status.workers.ready, cluster.status.workers.desired) == (1, 1)


def test_an_unanswered_question_is_no_silence_yet() -> None:
    cluster = running()
    head = cluster.seen().head_of(1)
    assert head is not None
    cluster.supervisor = Supervisor(pod_uid=head.meta.uid, asked_since=cluster.now - 5, error="timed out")
    assert cluster.decide().status is None


def test_times_are_the_servers() -> None:
    cluster = Cluster()
    cluster.step()
    assert cluster.status.started_at == timestamp(cluster.now)
    assert cluster.job is not None and cluster.job["metadata"]["finalizers"] == [names.FINALIZER]
