"""Resuming: bit-equal on the same layout, same state and same rows on another; nothing damaged is ever loaded."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from distributed.jobs import (
    Kill,
    attempt,
    begin_attempt,
    job_store,
    patient,
    read_whole,
    save_as_restored,
    stop_after,
)
from distributed.layouts import ALONE, EXPERTS, LAYOUTS, Layout, job_plan
from distributed.ranks import RankFailed, run_ranks
from ultrathink_api.errors import Refused
from ultrathink_planner import Plan
from ultrathink_trainer.run import Run, open_run
from ultrathink_trainer.train import train

STEPS = 6
LATE_SECONDS = 60.0
"""For a step on a busy machine."""
MODEL: dict[str, Any] = {"moe": EXPERTS, "layers": 2}


def planned(layout: Layout, *, precision: str = "fp32", every: int = 2, **model: Any) -> Plan:
    schedule = {"name": "cosine", "warmupSteps": 2}
    training = {"steps": STEPS, "precision": precision, "schedule": schedule, "validation": {"everySteps": STEPS}}
    plan = job_plan(layout, model=MODEL | model, **training)
    return plan.model_copy(update={"checkpoint": plan.checkpoint.model_copy(update={"interval_steps": every})})


@pytest.mark.parametrize("name", ["data 2", "pipeline 2", "tensor 2"])
def test_a_killed_run_goes_on_bit_by_bit_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    plan = planned(LAYOUTS[name])
    whole = attempt(plan, tmp_path / "whole", 1)

    with pytest.raises(RankFailed):
        attempt(plan, tmp_path / "cut", 1, chaos=[Kill(rank=1, step=6)], prepare=patient)
    rest = attempt(plan, tmp_path / "cut", 2)

    assert [record["step"] for record in rest.of("restored")] == [4]
    assert rest.losses == {step: loss for step, loss in whole.losses.items() if step > 4}
    assert read_whole(tmp_path / "cut", STEPS) == read_whole(tmp_path / "whole", STEPS)
    assert whole.of("eval")[-1]["loss"] == rest.of("eval")[-1]["loss"]
    assert rest.finishes == [("completed", STEPS)] * plan.world_size


def test_what_is_copied_while_the_next_step_runs_is_the_state_of_the_step_that_was_saved(tmp_path: Path) -> None:
    def slow(run: Run) -> None:
        """Nothing is copied before the next update is due."""
        due = threading.Event()
        copy, settle = run.checkpoints._staging.copy, run.checkpoints.settle

        def copy_late(live: Any) -> Any:
            assert due.wait(LATE_SECONDS), "the update did not wait for the copy"
            return copy(live)

        def say_due() -> None:
            if run.checkpoints.busy:
                due.set()
            settle()

        run.checkpoints._staging.copy = copy_late  # type: ignore[method-assign]
        run.checkpoints.settle = say_due  # type: ignore[method-assign]

    plan = planned(LAYOUTS["data 2"])
    attempt(plan, tmp_path / "whole", 1, prepare=patient)
    attempt(plan, tmp_path / "late", 1, prepare=slow)
    assert read_whole(tmp_path / "late", 2) == read_whole(tmp_path / "whole", 2)


MOVES: dict[str, tuple[Layout, Layout]] = {
    "data and tensor": (LAYOUTS["data 2, tensor 2"], LAYOUTS["data 4"]),
    "pipeline and data": (LAYOUTS["pipeline 2, data 2"], LAYOUTS["data 4"]),
    "pipeline and tensor": (LAYOUTS["pipeline 2, tensor 2"], LAYOUTS["data 4"]),
    "expert 2 and expert 4": ({"data": 2, "expert": 2}, {"data": 2, "tensor": 2, "expert": 4}),
    "context and data": (LAYOUTS["data 2, context 2"], LAYOUTS["pipeline 2, data 2"]),
    "context, tensor and expert": ({"context": 2, "tensor": 2, "expert": 4}, {"context": 4, "expert": 2}),
    "expert and none": ({"data": 4, "expert": 2}, LAYOUTS["pipeline 2"]),
}


@pytest.mark.parametrize("move", MOVES)
def test_another_layout_restores_the_same_state_bit_by_bit_and_goes_on(move: str, tmp_path: Path) -> None:
    """Saved by one layout, restored by another, saved again at once: the same bytes, moments and biases included."""
    first, second = (planned(layout, precision="fp64") for layout in MOVES[move])
    attempt(first, tmp_path, 1, on_record=stop_after(3))
    saved = read_whole(tmp_path, 3)

    resaved = tmp_path / "again"
    save_as_restored(second, tmp_path, resaved)
    assert read_whole(resaved, 3) == saved
    back = tmp_path / "back"
    save_as_restored(first, resaved, back)
    assert read_whole(back, 3) == saved


def test_a_compressed_checkpoint_is_read_on_another_layout_and_says_what_it_brought(tmp_path: Path) -> None:
    plain, other = (planned(layout, precision="fp64") for layout in MOVES["pipeline and data"])
    packed = plain.model_copy(update={"checkpoint": plain.checkpoint.model_copy(update={"packed": True})})
    attempt(plain, tmp_path / "plain", 1, on_record=stop_after(3))
    attempt(packed, tmp_path / "packed", 1, on_record=stop_after(3))
    assert read_whole(tmp_path / "packed", 3) == read_whole(tmp_path / "plain", 3)
    save_as_restored(other, tmp_path / "packed", tmp_path / "again")
    assert read_whole(tmp_path / "again", 3) == read_whole(tmp_path / "plain", 3)
    whole, small = (
        job_store(tmp_path / name).open(job_store(tmp_path / name).find("3")) for name in ("plain", "packed")
    )
    assert small.manifest.compression is not None and small.manifest.compression.ratio > 1.0
    assert small.manifest.size < whole.manifest.size and small.verify().ok


def test_a_run_that_changes_layout_loses_and_repeats_no_row(tmp_path: Path) -> None:
    whole = attempt(planned(ALONE, precision="fp64"), tmp_path / "whole", 1)
    losses: dict[int, float] = {}
    for epoch, (name, last) in enumerate(
        [("data 2", 2), ("pipeline 2, data 2", 4), ("data 2, context 2", STEPS)], start=1
    ):
        plan = planned(LAYOUTS[name], precision="fp64")
        losses |= attempt(plan, tmp_path / "moved", epoch, on_record=stop_after(last)).losses
    assert losses == pytest.approx(whole.losses, abs=1e-10)
    cursors = [
        job_store(tmp_path / run).open(job_store(tmp_path / run).find("latest")).manifest.state["data"]
        for run in ("whole", "moved")
    ]
    assert cursors[0] == cursors[1]


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "manifest"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_read(damage: str, tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2"])
    whole = attempt(plan, tmp_path, 1, prepare=patient)
    begin_attempt(tmp_path, 2)
    spoil(tmp_path, STEPS, damage)
    rest = attempt(plan, tmp_path, 3)
    assert rest.of("restored")[0]["step"] == 4
    assert rest.losses == {step: loss for step, loss in whole.losses.items() if step > 4}


def test_where_every_checkpoint_is_damaged_nothing_starts_from_scratch(tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2"])
    attempt(plan, tmp_path, 1, prepare=patient)
    begin_attempt(tmp_path, 2)
    for step in (2, 4, STEPS):
        spoil(tmp_path, step, "flipped")
    assert refusals(plan, tmp_path, 2) == [("UTK0311", "spec.checkpoint.uri")] * 2


def test_a_checkpoint_of_another_model_is_refused_on_every_rank(tmp_path: Path) -> None:
    attempt(planned(LAYOUTS["data 2"]), tmp_path, 1)
    begin_attempt(tmp_path, 2)
    other = planned(LAYOUTS["data 2"], layers=3)
    assert refusals(other, tmp_path, 2) == [("UTK0318", "spec.model.layers")] * 2


def test_a_checkpoint_of_other_data_is_refused_on_every_rank(tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2"])
    attempt(plan, tmp_path, 1)
    begin_attempt(tmp_path, 2)
    assert refusals(plan.model_copy(update={"seed": 5}), tmp_path, 2) == [("UTK0203", "spec.data")] * 2


def test_replicas_are_written_once(tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2, tensor 2"])
    attempt(plan, tmp_path, 1, on_record=stop_after(1))
    store = job_store(tmp_path)
    manifest = store.open(store.find("latest")).manifest
    items = {"F32": 4, "I64": 8}
    size = 0
    for entry in manifest.tensors.values():
        whole = items[entry.dtype]
        for extent in entry.shape:
            whole *= extent
        assert sum(piece.length for piece in entry.pieces) == whole
        size += whole
    assert size <= sum(file.size for file in manifest.files) < size * 1.1
    assert len(manifest.files) == plan.world_size  # the work is shared


def test_a_save_is_left_out_and_counted_while_the_last_one_is_on_its_way(tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2"], every=1)
    gate = tmp_path / "gate"

    def slow(run: Run) -> None:
        hold_commits(run, gate)

    def open_gate(record: dict[str, Any], control: Any) -> None:
        if record["event"] == "step" and record["step"] == 4:
            gate.touch()

    told = attempt(plan, tmp_path / "job", 1, prepare=slow, on_record=open_gate)
    saved = told.of("checkpoint")
    assert saved[0]["step"] == 1
    assert saved[-1]["step"] == STEPS
    assert saved[-1]["skipped"] >= 2  # steps 2 and 3 came while step 1 was held
    assert len(saved) + saved[-1]["skipped"] == STEPS


def test_a_failed_save_is_told_and_training_goes_on(tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2"])
    told = attempt(plan, tmp_path, 1, prepare=fail_commit_of(2))
    assert [record["step"] for record in told.of("checkpointFailed")] == [2]
    assert told.of("checkpointFailed")[0]["code"] == "UTK0306"
    assert [record["step"] for record in told.of("checkpoint")] == [4, STEPS]
    assert len(told.losses) == STEPS


def test_a_run_whose_last_save_fails_did_not_end_well(tmp_path: Path) -> None:
    plan = planned(LAYOUTS["data 2"])
    with pytest.raises(RankFailed, match="UTK0306"):
        attempt(plan, tmp_path, 1, prepare=fail_commit_of(STEPS))


def test_an_attempt_that_was_superseded_stops(tmp_path: Path) -> None:
    plan = planned(ALONE)

    def take_over(record: dict[str, Any], control: Any) -> None:
        if record["event"] == "step" and record["step"] == 1:
            begin_attempt(tmp_path, 2)

    with pytest.raises(RankFailed, match="UTK0315"):
        attempt(plan, tmp_path, 1, on_record=take_over)
    assert job_store(tmp_path).newest() is None


# What the tests do to runs and stores


def refusals(plan: Plan, folder: Path, epoch: int) -> list[tuple[str, str]]:
    """How each rank's attempt to go on was refused."""

    def work(rank: int) -> tuple[str, str]:
        try:
            train(open_run(plan, job_store(folder), epoch, emit=print, clock=lambda: 0.0))
        except Refused as refused:
            return refused.problem.code, refused.problem.field
        raise AssertionError("it was not refused")

    return run_ranks(plan.world_size, work)


def spoil(folder: Path, step: int, damage: str) -> None:
    (place,) = folder.glob(f"job/*/epoch-1/step-{step}")
    shard = place / "shard-1.safetensors"
    data = bytearray(shard.read_bytes())
    if damage == "flipped":
        data[-10] ^= 1
        shard.write_bytes(data)
    elif damage == "truncated":
        shard.write_bytes(data[:-1])
    elif damage == "missing":
        shard.unlink()
    else:
        manifest = place / "MANIFEST.json"
        manifest.write_bytes(manifest.read_bytes()[:-20])


def hold_commits(run: Run, gate: Path) -> None:
    """A store that is slow to commit: the first one waits for the gate."""
    commit = run.checkpoints.store.commit

    def later(epoch: int, step: int, manifest: Any) -> Any:
        until = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < until:
            time.sleep(0.01)
        return commit(epoch, step, manifest)

    run.checkpoints.store.commit = later  # type: ignore[method-assign]


def fail_commit_of(step: int) -> Any:
    """A store that is full just then."""

    def prepare(run: Run) -> None:
        commit = run.checkpoints.store.commit

        patient(run)

        def full(epoch: int, at: int, manifest: Any) -> Any:
            if at == step:
                raise Refused.of("UTK0306", field="spec.checkpoint.uri", message="no space left", fix="make room")
            return commit(epoch, at, manifest)

        run.checkpoints.store.commit = full  # type: ignore[method-assign]

    return prepare
