"""What seldom happens and must be right all the same: half-gone clusters, early answers, odd timestamps, old words."""

from dataclasses import replace
from typing import Any

from ultrathink_api.protocol import StopView
from ultrathink_api.status import CheckpointStatus
from ultrathink_operator import actions as do
from ultrathink_operator.observe import NUDGED_ANNOTATION, explanation, set_view
from ultrathink_operator.policies import cluster as clusters
from ultrathink_operator.policies.progress import UNKNOWN_AFTER_S
from ultrathink_operator.policies.writing import timestamp
from unit.operator.parts.cluster import Cluster, running


def without_sets(cluster: Cluster) -> Cluster:
    for name in cluster.names("StatefulSet"):
        del cluster.objects["StatefulSet", name]
    return cluster


def test_what_stands_around_pods_stays_until_the_last_of_them_is_gone() -> None:
    cluster = without_sets(running())
    assert clusters.dismantle(cluster.seen(), 1) == (), "pods need their names to say goodbye"
    cluster.controllers()
    assert [type(a) for a in clusters.dismantle(cluster.seen(), 1)] == [do.DeleteRest, do.Delete]


def test_a_service_that_goes_already_is_not_deleted_again() -> None:
    cluster = without_sets(running())
    cluster.controllers()
    cluster.objects["Service", "q-1"]["metadata"]["deletionTimestamp"] = timestamp(cluster.now)
    assert clusters.dismantle(cluster.seen(), 1) == ()


def test_a_deleted_job_whose_stop_is_confirmed_is_let_go_at_once() -> None:
    cluster = running()
    cluster.supervise("stopped", 60, stop=StopView(reason="Suspended", confirmed=True, step=60))
    cluster.delete_job()
    assert do.Release() in cluster.step().actions


def test_a_container_that_cannot_be_made_is_a_missing_mount_in_kubelets_words() -> None:
    cluster = Cluster()
    cluster.settle()
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'}}
    for name in cluster.names("Pod"):
        cluster.pod(name)["status"] = {"phase": "Pending", "containerStatuses": [{"state": waiting}]}
    cluster.settle()
    assert cluster.condition("Scheduled") == ("False", "FailedMount")
    assert 'secret "s3" not found' in (cluster.status.message or "")


def test_a_supervisor_that_never_answered_is_unknown_and_not_failed() -> None:
    cluster = running()
    assert cluster.supervisor is not None
    since = cluster.now
    cluster.supervisor = replace(
        cluster.supervisor, progress=None, answered_at=None, asked_since=since, error="refused"
    )
    cluster.wait(UNKNOWN_AFTER_S + 1)
    assert cluster.condition("Progressing") == ("Unknown", "ProgressUnknown")
    assert cluster.condition("Running")[0] == "True", "silence is no failure"


def test_a_checkpoint_that_is_long_overdue_is_told() -> None:
    cluster = running(checkpoint={"every": {"steps": 10}})
    old = CheckpointStatus(step=10, uri="s3://runs/q/step-10", verified=True, committed_at=timestamp(cluster.now))
    cluster.supervise("running", 30, checkpoint=old)
    cluster.settle()
    assert cluster.condition("CheckpointFresh") == ("True", "Committed")
    cluster.supervise("running", 90, checkpoint=old)
    cluster.settle()
    assert cluster.condition("CheckpointFresh") == ("False", "CheckpointStale")


def test_an_event_is_read_by_whichever_of_its_times_it_has() -> None:
    raw: dict[str, Any] = {"involvedObject": {"uid": "u"}, "reason": "FailedMount", "message": "no", "metadata": {}}
    at = timestamp(1_800_000_000.0)
    for times in ({"lastTimestamp": at}, {"eventTime": at}, {"metadata": {"creationTimestamp": at}}):
        seen = explanation({**raw, **times})
        assert (seen.uid, seen.words.reason, seen.last_at) == ("u", "FailedMount", 1_800_000_000.0)


def test_a_time_that_somebody_scribbled_into_an_annotation_is_none() -> None:
    cluster = running()
    raw = cluster.objects["StatefulSet", "q-1-worker"]
    raw["metadata"]["annotations"][NUDGED_ANNOTATION] = "yesterday"
    assert set_view(raw).nudged_at is None
