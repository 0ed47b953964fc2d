"""A job is suspended in two phases, goes on on another cluster, and can be cancelled for good."""

from ultrathink_api.status import CheckpointStatus
from ultrathink_operator import actions as do
from unit.operator.parts.cluster import Cluster, running


class TestASuspendedJob:
    def test_is_asked_to_save_before_anything_goes(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        assert stopped_by(cluster) == do.Stop(grace_seconds=60.0)
        assert (cluster.status.phase, cluster.status.reason) == ("Suspending", "Suspending")
        cluster.settle()
        assert len(cluster.names("Pod")) == 3

    def test_gives_everything_back_once_the_save_is_confirmed(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        cluster.settle()
        cluster.confirm_stop(step=55)
        cluster.step()
        assert cluster.status.phase == "Suspending"
        assert "step 55" in (cluster.status.message or "")
        cluster.settle()
        assert cluster.status.phase == "Suspended"
        assert {kind for kind, _ in cluster.objects} == {"Secret"}
        assert cluster.job is not None and cluster.job["metadata"]["finalizers"] == []
        assert cluster.condition("Running") == ("False", "Suspended")
        assert cluster.status.workers is not None and cluster.status.workers.ready == 0

    def test_knows_its_checkpoint_though_the_operator_died_while_the_pods_went(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        cluster.settle()
        cluster.supervise("stopping", 55, checkpoint=CheckpointStatus(step=55, uri="s3://runs/x/step-55"))
        cluster.confirm_stop(step=55)
        cluster.step(actions=1)
        cluster.settle()
        assert cluster.status.phase == "Suspended"
        assert cluster.status.checkpoint is not None and cluster.status.checkpoint.step == 55

    def test_stays_suspended_whatever_time_passes_and_whoever_starts_anew(self) -> None:
        cluster = suspended()
        cluster.supervisor, cluster.written_at = None, None
        cluster.wait(100_000)
        assert cluster.status.phase == "Suspended"
        assert cluster.decide().status is None and cluster.decide().actions == ()

    def test_is_not_waited_for_longer_than_the_grace(self) -> None:
        cluster = running(checkpoint={"graceSeconds": 90})
        cluster.change_spec(suspend=True)
        cluster.silence()
        cluster.settle()
        cluster.wait(99)
        assert cluster.names("StatefulSet")
        cluster.wait(2)
        assert cluster.status.phase == "Suspended"

    def test_is_not_waited_for_again_from_the_start_by_a_new_operator(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        cluster.settle()
        cluster.now += 71
        cluster.supervisor = None
        cluster.settle()
        assert cluster.status.phase == "Suspended"

    def test_from_the_start_gets_no_cluster_until_it_is_resumed(self) -> None:
        cluster = Cluster(spec={**Cluster().spec, "suspend": True})
        cluster.settle()
        assert cluster.status.phase == "Suspended"
        assert not cluster.objects and cluster.status.started_at is None
        cluster.change_spec(suspend=False)
        cluster.settle()
        assert cluster.names("StatefulSet") == ["q-1-head", "q-1-worker"]

    def test_whose_objects_were_being_made_has_them_taken_away(self) -> None:
        cluster = Cluster()
        cluster.step()
        cluster.step(actions=4)
        cluster.change_spec(suspend=True)
        cluster.settle()
        assert cluster.status.phase == "Suspended"
        assert not cluster.names("Service")

    def test_that_was_done_before_it_heard_of_it_has_succeeded(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        cluster.settle()
        cluster.end()
        cluster.settle()
        assert cluster.status.phase == "Succeeded"

    def test_whose_spec_is_refused_beside_saves_all_the_same(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True, workers={"count": 3})
        assert stopped_by(cluster) == do.Stop(grace_seconds=60.0)

    def test_can_be_deleted_at_once(self) -> None:
        cluster = suspended()
        cluster.delete_job()
        cluster.settle()
        assert cluster.job is None


class TestAResumedJob:
    def test_goes_on_on_the_next_cluster(self) -> None:
        cluster = suspended()
        cluster.change_spec(suspend=False)
        cluster.settle()
        assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]
        assert cluster.condition("Suspended") == ("False", "Resumed")
        assert cluster.status.suspended_at is None
        cluster.run_pods()
        cluster.supervise("running", 60)
        cluster.settle()
        assert cluster.status.phase == "Running"

    def test_that_changed_its_mind_while_it_saved_ends_the_save_first(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        cluster.settle()
        cluster.change_spec(suspend=False)
        cluster.settle()
        assert cluster.status.phase == "Suspending"
        cluster.confirm_stop(step=55)
        cluster.settle()
        assert cluster.names("StatefulSet") == ["q-2-head", "q-2-worker"]

    def test_that_changed_its_mind_before_the_operator_wrote_it_down_trains_on(self) -> None:
        cluster = running()
        cluster.change_spec(suspend=True)
        cluster.step(actions=8)
        cluster.change_spec(suspend=False)
        cluster.settle()
        assert cluster.supervisor and cluster.supervisor.progress and cluster.supervisor.progress.stop is None
        assert (cluster.status.phase, cluster.seen().number) == ("Running", 1)

    def test_may_have_another_size(self) -> None:
        cluster = suspended()
        cluster.change_spec(suspend=False, workers={"count": 4})
        cluster.settle()
        assert cluster.objects["StatefulSet", "q-2-worker"]["spec"]["replicas"] == 4

    def test_can_be_suspended_again_with_a_whole_grace(self) -> None:
        cluster = suspended()
        cluster.change_spec(suspend=False)
        cluster.settle()
        cluster.run_pods()
        cluster.supervise("running", 60)
        cluster.wait(1000)
        cluster.change_spec(suspend=True)
        cluster.settle()
        assert cluster.status.phase == "Suspending"
        assert cluster.names("Pod")


class TestACancelledJob:
    def test_saves_and_fails_for_good(self) -> None:
        cluster = running()
        cluster.change_spec(cancel=True)
        assert stopped_by(cluster) == do.Stop(grace_seconds=60.0)
        assert (cluster.status.phase, cluster.status.reason) == ("Suspending", "Cancelling")
        cluster.confirm_stop(step=55)
        cluster.settle()
        assert (cluster.status.phase, cluster.status.reason) == ("Failed", "Cancelled")
        assert "step 55" in (cluster.status.message or "")
        cluster.wait(1)
        assert {kind for kind, _ in cluster.objects} == {"Secret"}

    def test_that_never_began_fails_at_once(self) -> None:
        cluster = Cluster(spec={**Cluster().spec, "cancel": True})
        cluster.settle()
        assert (cluster.status.phase, cluster.status.reason) == ("Failed", "Cancelled")
        assert not cluster.objects

    def test_that_was_suspended_fails_at_once(self) -> None:
        cluster = suspended()
        cluster.change_spec(cancel=True)
        cluster.settle()
        assert cluster.status.phase == "Failed"


def stopped_by(cluster: Cluster) -> do.Action:
    """What the supervisor is told, once the intent to tell it so is stored."""
    first = cluster.step()
    assert first.actions == () and first.wake_after == 0.0
    assert cluster.status.suspended_at is not None
    (stop,) = cluster.step().actions
    return stop


def suspended() -> Cluster:
    cluster = running()
    cluster.change_spec(suspend=True)
    cluster.settle()
    cluster.confirm_stop(step=55)
    cluster.settle()
    assert cluster.status.phase == "Suspended"
    return cluster
