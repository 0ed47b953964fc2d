"""F37, F40, F41: memory that runs short, steps that are not finite, a loss that leaps; each by the real thing."""

import json
from pathlib import Path

import pytest

from faults.conftest import Run
from integration.runtime.conftest import LocalRun
from unit.trainer.data.parts import datasets

ROWS = 8
"""Of a step of the tiny job."""
LEAP_AT = 200
"""By then the tiny model knows its first data set, and its loss has settled."""


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
    assert (summary["phase"], second["cause"]) == ("Succeeded", "NaN")
    saved = [event["step"] for event in made.named("checkpoint") if event["attempt"] == 1]
    assert second["resumedFrom"] == max(saved) < 10
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


@pytest.mark.fault("F41")
def test_a_loss_that_leaps_is_told_and_training_goes_on(run: Run, tmp_path: Path) -> None:
    known, never_seen = (datasets.make(tmp_path / str(first), train=400, first=first) for first in (1, 3_000))
    data = {
        "mixture": [{"uri": known}, {"uri": never_seen}],
        "curriculum": [{"fromStep": 2, "weights": [1, 0]}, {"fromStep": LEAP_AT, "weights": [0, 1]}],
        "sequenceLength": 32,
    }
    model = {"preset": "moe-tiny", "layers": 2, "vocabulary": datasets.VOCABULARY}
    made = run(model=model, data=data, training={"steps": LEAP_AT + 4, "globalBatchTokens": 256})
    summary = made.summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 1)
    told = [warning for warning in made.named("warning") if warning["kind"] == "lossSpike"]
    assert told and told[0]["step"] == LEAP_AT, "the first step on what it never saw"
    assert all(warning["loss"] > 2 * warning["mean"] for warning in told)
