"""`from ultrathink import Job` on a cluster: what the commands stand on."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ultrathink import Job, Refused

if TYPE_CHECKING:
    from integration.cli.parts.kubelet import Kubelet
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane
    from ultrathink.cluster.connect import Cluster


@pytest.fixture
def cluster(installed: "ControlPlane", stage: "Stage") -> "Cluster":
    from ultrathink.cluster.connect import connect

    return connect(namespace=stage.namespace, kubeconfig=str(installed.kubeconfig))


def test_a_job_lives_from_submit_to_delete(
    cluster: "Cluster", stage: "Stage", kubelet: "Kubelet", job_file: Path
) -> None:
    job = Job.from_file(str(job_file)).set("metadata.name", "mine")
    assert job.submit(cluster, dry_run=True).action == "created"
    assert Job.list(cluster) == ()
    assert job.submit(cluster).action == "created"
    assert job.submit(cluster).action == "unchanged"

    live = Job.get("mine", cluster)
    assert (live.name, live.phase, live.ended) == ("mine", None, False)
    assert [found.name for found in Job.list(cluster)] == ["mine"]
    stage.status("mine", phase="Succeeded", progress={"step": 200, "of": 200, "percent": "100%"})
    live = live.refresh()
    assert live.ended and live.status.progress is not None and live.status.progress.step == 200
    assert live.wait("step=200").phase == "Succeeded"
    assert live.spec.workers.count == 2

    kubelet.say(stage.head("mine", kubelet.node), "a line", '{"event": "summary"}')
    assert list(live.logs(follow=True)) == ["a line", '{"event": "summary"}']

    live.delete()
    with pytest.raises(Refused) as gone:
        Job.get("mine", cluster)
    assert gone.value.problem.code == "UTK0507"


def test_a_job_of_another_namespace_stays_there(
    cluster: "Cluster", stage: "Stage", kubelet: "Kubelet", job_file: Path
) -> None:
    from dataclasses import replace

    elsewhere = replace(cluster, namespace="default")
    text = job_file.read_text().replace("name: quickstart", f"name: far\n  namespace: {stage.namespace}")
    Job.from_text(text).submit(elsewhere)
    live = Job.list(elsewhere, everywhere=True)
    (far,) = (found for found in live if found.name == "far")
    stage.status("far", phase="Succeeded")
    assert far.refresh().ended
    kubelet.say(stage.head("far", kubelet.node), "a line")
    assert list(far.logs(follow=True)) == ["a line"]
    far.delete()
    assert stage.job("far") is None


def test_a_job_created_again_is_not_deleted_for_its_namesake(
    cluster: "Cluster", stage: "Stage", job_file: Path
) -> None:
    Job.from_file(str(job_file)).submit(cluster)
    old = Job.get("quickstart", cluster)
    old.delete()
    Job.from_file(str(job_file)).submit(cluster)
    with pytest.raises(Refused):
        old.delete()
    assert stage.job("quickstart") is not None
