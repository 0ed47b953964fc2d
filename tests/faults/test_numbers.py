"""F37 and F40: memory that runs short and steps that are not finite, by a real refusal and a real NaN."""

import json
from pathlib import Path

import pytest

from faults.conftest import Run
from integration.runtime.conftest import LocalRun

ROWS = 8
"""Of a step of the tiny job."""


@pytest.mark.fault("F40")
def test_one_non_finite_step_is_left_out(run: Run) -> None:
    made = run("nan@10")
    summary = made.summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 1)
    assert [step["step"] for step in made.named("step") if step.get("skipped")] == [10]


@pytest.mark.fault("F40")
def test_more_of_them_are_rolled_back_around_their_data(run: Run, undisturbed: LocalRun, tmp_path: Path) -> None:
    made = run("nan@10", "nan@11", "nan@12")
    summary = made.summary()
    second = made.named("attempt")[1]
    assert (summary["phase"], second["cause"], second["resumedFrom"]) == ("Succeeded", "NaN", 8)
    losses = {step["step"]: step["loss"] for step in made.named("step") if step["attempt"] == 2}
    whole = {step["step"]: step["loss"] for step in undisturbed.named("step")}
    assert losses[9] == whole[9], "what was good is done again as it was"
    assert losses[10] not in (None, whole[10]), "it goes on with other data"
    manifests = sorted(tmp_path.rglob("epoch-2/step-*/MANIFEST.json"))
    assert manifests
    for manifest in manifests:
        cursor = json.loads(manifest.read_text())["state"]["data"]["cursor"]
        assert cursor["skips"] == [[9 * ROWS, 12 * ROWS]]


@pytest.mark.fault("F40")
def test_a_run_that_is_never_finite_again_has_diverged(run: Run) -> None:
    made = run("nan@6", "nan@7", health={"nonFiniteSkips": 0, "rollbacks": 1})
    summary = made.summary()
    assert (summary["phase"], summary["code"], summary["reason"]) == ("Failed", "UTK0409", "Diverged")
    assert "rows" in summary["message"] and summary["fix"]


@pytest.mark.fault("F37")
def test_memory_that_runs_short_halves_the_micro_batch_and_changes_no_result(
    run: Run, undisturbed_exactly: LocalRun, tmp_path: Path
) -> None:
    made = run("oom@10", training={"steps": 24, "globalBatchTokens": 256, "precision": "fp64"})
    summary = made.summary()
    assert (summary["phase"], made.named("attempt")[1]["cause"]) == ("Succeeded", "OutOfMemory")
    whole = {step["step"]: step["loss"] for step in undisturbed_exactly.named("step")}
    for step in made.named("step"):
        assert step["loss"] == pytest.approx(whole[step["step"]], rel=1e-10, abs=1e-10)
    starts = [json.loads(file.read_text()) for file in sorted(tmp_path.rglob("START.json"))]
    assert [start.get("detail", {}).get("microBatchSequences") for start in starts] == [None, 2]


@pytest.mark.fault("F37")
def test_at_one_sequence_want_of_memory_ends_the_job(run: Run) -> None:
    training = {"steps": 24, "globalBatchTokens": 256, "microBatchSequences": 1}
    summary = run("oom@6", training=training).summary()
    assert (summary["phase"], summary["code"], summary["attempts"]) == ("Failed", "UTK0408", 1)
