"""How a job ends, or is deleted, as decide() leads it."""

import pytest

from ultrathink_operator import actions as do
from ultrathink_operator.policies.completion import KEEP_AFTER_FAILURE_S, KEEP_AFTER_SUCCESS_S
from unit.operator.parts.cluster import Cluster, running


class TestAnEndedJob:
    def test_copies_the_outcome_and_lets_go(self) -> None:
        cluster = running()
        cluster.end()
        cluster.settle()
        assert cluster.status.phase == "Succeeded"
        assert cluster.status.reason == "Completed"
        assert cluster.status.progress is not None and cluster.status.progress.step == 200
        assert cluster.job is not None and cluster.job["metadata"]["finalizers"] == []

    def test_keeps_its_pods_for_a_moment_and_then_nothing_but_the_secret(self) -> None:
        cluster = running()
        cluster.end()
        cluster.settle()
        assert len(cluster.names("Pod")) == 3
        cluster.wait(KEEP_AFTER_SUCCESS_S)
        cluster.settle()
        assert {kind for kind, _ in cluster.objects} == {"Secret"}

    def test_says_code_message_and_fix_of_a_failure_and_keeps_the_pods_longer(self) -> None:
        cluster = running()
        cluster.end("Failed", "NoProgress", code="UTK0402", message="failed 3 times", fix="look at the log")
        cluster.settle()
        assert cluster.status.phase == "Failed"
        assert cluster.status.reason == "NoProgress"
        assert cluster.status.message == "UTK0402 failed 3 times (fix: look at the log)"
        cluster.wait(KEEP_AFTER_FAILURE_S - 1)
        assert cluster.names("StatefulSet")
        cluster.wait(2)
        assert not cluster.names("StatefulSet")

    def test_stays_ended_whatever_is_said_or_seen_later(self) -> None:
        cluster = running()
        cluster.end()
        cluster.settle()
        cluster.supervise("running", 3)
        cluster.lose("StatefulSet", "q-1-head")
        cluster.wait(1000)
        assert cluster.status.phase == "Succeeded"
        assert cluster.status.progress is not None and cluster.status.progress.step == 200

    def test_is_found_out_after_an_operator_was_away_at_the_end(self) -> None:
        cluster = running()
        cluster.now += 600
        cluster.end()
        cluster.settle()
        assert cluster.status.phase == "Succeeded"


class TestADeletedJob:
    def test_is_asked_to_save_first(self) -> None:
        cluster = running()
        cluster.delete_job()
        decision = cluster.step()
        assert decision.actions == (do.Stop(grace_seconds=60.0),)
        assert cluster.status.phase == "Suspending"
        assert cluster.status.reason == "Deleting"
        assert cluster.names("StatefulSet")

    def test_that_says_so_takes_its_checkpoints_along_and_waits_until_they_are_gone(self) -> None:
        cluster = running(checkpoint={"onDelete": "Delete"})
        cluster.delete_job()
        assert cluster.step().actions == (do.Stop(grace_seconds=0.0, delete_checkpoints=True),)
        cluster.settle()
        assert cluster.job is not None
        cluster.confirm_stop(step=55)
        cluster.settle()
        assert cluster.job is None

    @pytest.mark.parametrize("confirmed", [False, True], ids=["under way", "confirmed"])
    def test_that_takes_its_checkpoints_along_does_so_though_it_was_stopped_for_another_reason(
        self, confirmed: bool
    ) -> None:
        cluster = running(checkpoint={"onDelete": "Delete"})
        cluster.change_spec(suspend=True)
        cluster.settle()
        if confirmed:
            cluster.confirm_stop(step=55)
        cluster.delete_job()
        assert cluster.step().actions == (do.Stop(grace_seconds=0.0, delete_checkpoints=True),)
        assert cluster.step().actions == ()
        assert cluster.job is not None
        cluster.confirm_stop(step=55)
        cluster.settle()
        assert cluster.job is None

    def test_goes_as_soon_as_the_save_is_confirmed(self) -> None:
        cluster = running()
        cluster.delete_job()
        cluster.settle()
        assert cluster.job is not None
        cluster.confirm_stop(step=55)
        cluster.settle()
        assert cluster.job is None

    def test_goes_when_the_grace_is_over(self) -> None:
        cluster = running(checkpoint={"graceSeconds": 90})
        cluster.delete_job()
        cluster.silence()
        cluster.wait(99)
        assert cluster.job is not None
        cluster.wait(2)
        assert cluster.job is None

    def test_goes_at_once_when_no_head_runs(self) -> None:
        cluster = Cluster()
        cluster.settle()
        cluster.delete_job()
        cluster.settle()
        assert cluster.job is None

    def test_goes_at_once_when_it_had_ended(self) -> None:
        cluster = running()
        cluster.end()
        cluster.step()
        cluster.delete_job()
        cluster.settle()
        assert cluster.job is None

    def test_is_not_waited_for_when_the_heads_process_crashes(self) -> None:
        cluster = Cluster()
        cluster.settle()
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off"}
        cluster.set_pod("q-1-head-0", "Running", "False", containerStatuses=[{"state": {"waiting": waiting}}])
        cluster.delete_job()
        cluster.settle()
        assert cluster.job is None

    def test_without_our_finalizer_is_left_to_the_garbage_collector(self) -> None:
        cluster = running()
        assert cluster.job is not None
        cluster.job["metadata"]["finalizers"] = ["somebody/else"]
        cluster.delete_job()
        assert cluster.job is not None
        decision = cluster.decide()
        assert decision.actions == () and decision.status is None
