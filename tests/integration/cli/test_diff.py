"""utk diff: what the API server says a submission would change, without changing anything."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage


@pytest.fixture
def submitted(kubectl: "Utk", stage: "Stage", job_file: Path) -> str:
    running = kubectl.start("submit", str(job_file))
    stage.status("quickstart", phase="Running", startedAt="2026-01-01T00:00:00Z")
    assert running.end().code == 0
    return str(job_file)


def test_the_same_file_is_no_difference(kubectl: "Utk", submitted: str) -> None:
    said = kubectl.here("diff", submitted, "-o", "json")
    assert (said.code, said.json["kind"], said.json["changes"], said.json["exists"]) == (0, "Diff", [], True), said
    plain = kubectl.here("diff", submitted)
    assert (plain.code, plain.out) == (0, "") and "as the file says" in plain.err


def test_each_change_is_told_with_its_effect_and_none_is_made(kubectl: "Utk", stage: "Stage", submitted: str) -> None:
    changed = ("diff", submitted, "--set", "restart.budget.max=3", "--set", "workers.count=4")
    said = kubectl.here(*changed, "-o", "json")
    assert said.code == 1, said
    assert said.json["changes"] == [
        {"field": "spec.restart.budget.max", "live": 8, "new": 3, "effect": "inPlace"},
        {"field": "spec.workers.count", "live": 2, "new": 4, "effect": "newCluster"},
    ]
    table = kubectl.here(*changed).out.splitlines()
    assert table[0].split() == ["FIELD", "LIVE", "NEW", "TAKES", "EFFECT"]
    assert table[1].split("   ")[0] == "spec.restart.budget.max" and table[1].endswith("in place")
    job = stage.job("quickstart")
    assert job is not None and job["spec"]["workers"]["count"] == 2 and job["metadata"]["generation"] == 1


def test_a_field_that_the_file_no_longer_has_goes_back_to_its_default(
    kubectl: "Utk", stage: "Stage", submitted: str
) -> None:
    assert kubectl.here("submit", submitted, "--set", "restart.budget.max=3").code == 0
    said = kubectl.here("diff", submitted, "-o", "json")
    assert said.json["changes"] == [{"field": "spec.restart.budget.max", "live": 3, "new": 8, "effect": "inPlace"}]


def test_what_the_cluster_would_refuse_is_told_with_the_difference(kubectl: "Utk", submitted: str) -> None:
    said = kubectl.here("diff", submitted, "--set", "training.seed=7", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (7, "UTK0125"), said
    (change,) = said.json["changes"]
    assert (change["field"], change["new"], change["effect"]) == ("spec.training.seed", 7, "immutable")
    plain = kubectl.here("diff", submitted, "--set", "training.seed=7")
    assert "cannot change once the job has started" in plain.out and "UTK0125" in plain.err


def test_a_job_that_is_not_there_is_all_new(kubectl: "Utk", stage: "Stage", job_file: Path) -> None:
    said = kubectl.here("diff", str(job_file), "-o", "json")
    assert (said.code, said.json["exists"]) == (1, False), said
    found = {change["field"]: (change["live"], change["new"]) for change in said.json["changes"]}
    assert found["spec.workers.count"] == (None, 2)
    assert stage.job("quickstart") is None
    assert "no job quickstart" in kubectl.here("diff", str(job_file)).err


def test_a_wrong_file_is_refused_before_anybody_is_asked(utk: "Utk", job_file: Path) -> None:
    said = utk.here("diff", str(job_file), "--set", "workers.cuont=3", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (7, "UTK0102"), said
