"""utk reproduce by a job's name: the cluster says which run, the bucket what it was made from."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from integration.cli.parts.recorded import begin, recorded
from ultrathink_store import open_job

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage


def test_a_job_of_the_cluster_is_written_again_and_can_be_submitted(
    kubectl: "Utk",
    stage: "Stage",
    job_file: Path,
    credentials: dict[str, str],
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    place = f"s3://{s3_bucket}/runs"
    job = yaml.safe_load(job_file.read_text())
    job["spec"]["checkpoint"] = {"uri": place}
    stage.apply(job)
    waiting = kubectl.here("reproduce", "quickstart", "-o", "json")
    assert (waiting.code, waiting.json["errors"][0]["code"]) == (3, "UTK0320"), waiting

    found = stage.job("quickstart")
    assert found is not None
    begin(open_job(place, stage.namespace, "quickstart", found["metadata"]["uid"]), recorded(job["spec"]))
    again = str(job_file.with_name("again.yaml"))
    said = kubectl.here("reproduce", "quickstart", "-o", again)
    assert said.code == 0, said
    submitted = kubectl.here("submit", again, "--dry-run=server")
    assert submitted.code == 0, submitted
