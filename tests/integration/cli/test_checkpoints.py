"""utk checkpoints by a job's name: the cluster says where, the caller's own credentials open it."""

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage


def submit(stage: "Stage", job_file: Path, uri: str) -> None:
    job = yaml.safe_load(job_file.read_text())
    job["spec"]["checkpoint"] = {"uri": uri}
    stage.apply(job)


def test_a_job_that_has_saved_nothing_has_an_empty_list(
    kubectl: "Utk", stage: "Stage", job_file: Path, s3_bucket: str, credentials: dict[str, str]
) -> None:
    submit(stage, job_file, f"s3://{s3_bucket}/runs")
    said = kubectl.here("checkpoints", "ls", "quickstart", "-o", "json")
    assert (said.code, said.json["items"]) == (0, []), said
    assert said.json["uri"] == f"s3://{s3_bucket}/runs/{stage.namespace}/quickstart"


def test_wrong_credentials_are_said_as_such(
    kubectl: "Utk", stage: "Stage", job_file: Path, s3_bucket: str, credentials: dict[str, str]
) -> None:
    submit(stage, job_file, f"s3://{s3_bucket}")
    kubectl.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"
    said = kubectl.here("checkpoints", "ls", "quickstart", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (4, "UTK0303"), said


def test_a_bucket_that_is_not_there_is_not_found(
    kubectl: "Utk", stage: "Stage", job_file: Path, credentials: dict[str, str]
) -> None:
    submit(stage, job_file, "s3://no-such-bucket")
    said = kubectl.here("checkpoints", "verify", "quickstart", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0302"), said


def test_a_volume_of_the_cluster_that_is_not_mounted_here_is_said_as_such(
    kubectl: "Utk", stage: "Stage", job_file: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    submit(stage, job_file, f"file://{runs}")
    said = kubectl.here("checkpoints", "ls", "quickstart", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (3, "UTK0302"), said
    runs.mkdir()
    said = kubectl.here("checkpoints", "ls", "quickstart", "-o", "json")
    assert (said.code, said.json["items"]) == (0, []), said
