"""utk admin unfinalize: a deleted job whose operator is gone is let go; any other is left alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ultrathink_api import names

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk
    from integration.cli.parts.stage import Stage
    from testbed.apiserver import ControlPlane

NAME = "quickstart"
THEIRS = "example.com/audit"


@pytest.fixture
def held(stage: "Stage", job_file: Path) -> str:
    """A job that an operator, and somebody else, have put their finalizers on."""
    stage.apply(yaml.safe_load(job_file.read_text()))
    stage.finalize(NAME, names.FINALIZER, THEIRS)
    return NAME


def left(stage: "Stage") -> list[str]:
    job = stage.job(NAME)
    return list(job["metadata"].get("finalizers") or []) if job else []


def operator(installed: "ControlPlane", stage: "Stage", **how: Any) -> None:
    from integration.cli.parts.operator import install

    with installed.api_client() as api:
        install(api, stage.namespace, stage.namespace, **how)


def test_a_deleted_job_without_an_operator_is_let_go_and_other_finalizers_stay(
    kubectl: "Utk", stage: "Stage", held: str
) -> None:
    assert kubectl.here("delete", held, "-y", "--no-wait").code == 0
    unsaid = kubectl.here("admin", "unfinalize", held, "-o", "json")
    assert (unsaid.code, unsaid.json["errors"][0]["code"]) == (2, "UTK0605"), "it asks first"
    said = kubectl.here("admin", "unfinalize", held, "-y", "-o", "json")
    assert (said.code, said.json["kind"], said.json["name"]) == (0, "Release", held), said
    assert left(stage) == [THEIRS]
    again = kubectl.here("admin", "unfinalize", held, "-y", "-o", "json")
    assert (again.code, again.json["errors"][0]["code"]) == (9, "UTK0515")
    assert THEIRS in again.json["errors"][0]["message"]
    stage.finalize(NAME)


@pytest.mark.parametrize("how", ["client", "server"])
def test_a_dry_run_lets_nothing_go(kubectl: "Utk", stage: "Stage", held: str, how: str) -> None:
    assert kubectl.here("delete", held, "-y", "--no-wait").code == 0
    said = kubectl.here("admin", "unfinalize", held, "--dry-run", how)
    assert said.code == 0 and "would be let go" in said.out
    assert left(stage) == [names.FINALIZER, THEIRS]
    stage.finalize(NAME)


def test_a_job_that_nobody_deleted_is_not_let_go(kubectl: "Utk", stage: "Stage", held: str) -> None:
    said = kubectl.here("admin", "unfinalize", held, "-y", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (9, "UTK0515")
    assert f"utk delete {held}" in said.json["errors"][0]["fix"]
    assert left(stage) == [names.FINALIZER, THEIRS]
    stage.finalize(NAME)


def test_where_an_operator_is_at_work_it_is_left_to_it(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage", held: str
) -> None:
    operator(installed, stage)
    assert kubectl.here("delete", held, "-y", "--no-wait").code == 0
    said = kubectl.here("admin", "unfinalize", held, "-y", "-o", "json")
    assert (said.code, said.json["errors"][0]["code"]) == (9, "UTK0515")
    assert "an operator looks after" in said.json["errors"][0]["message"]
    assert left(stage) == [names.FINALIZER, THEIRS]
    assert kubectl.here("admin", "unfinalize", held, "-y", "--force").code == 0
    assert left(stage) == [THEIRS]
    stage.finalize(NAME)


def test_an_operator_that_has_been_silent_for_minutes_is_gone(
    installed: "ControlPlane", kubectl: "Utk", stage: "Stage", held: str
) -> None:
    operator(installed, stage, silent=600.0)
    assert kubectl.here("delete", held, "-y", "--no-wait").code == 0
    assert kubectl.here("admin", "unfinalize", held, "-y").code == 0
    assert left(stage) == [THEIRS]
    stage.finalize(NAME)
