"""The training loop on real ranks: what it tells, how it stops, what it skips, and that it learns."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from distributed.jobs import Kill, Record, attempt, job_store, mismeasure, patient
from distributed.layouts import ALONE, EXPERTS, LAYOUTS, Layout, job_plan, random_batches
from distributed.ranks import RankFailed, run_ranks
from ultrathink_api.job import JobSpec
from ultrathink_planner import Plan, plan
from ultrathink_trainer.checkpoint.interval import FIRST_SECONDS, History
from ultrathink_trainer.data.loader import Rows
from ultrathink_trainer.optim.schedule import learning_rate
from ultrathink_trainer.parallel.engine import Engine
from ultrathink_trainer.parallel.mesh import build_world
from ultrathink_trainer.run import Control, Run

STEPS = 4


def small(layout: Layout = LAYOUTS["data 2"], **training: Any) -> Plan:
    return job_plan(layout, model={"moe": EXPERTS, "layers": 2}, **{"steps": STEPS, "precision": "fp32"} | training)


def saving(**every: Any) -> Plan:
    job = small()
    return job.model_copy(update={"checkpoint": job.checkpoint.model_copy(update=every)})


def test_every_step_is_told_with_all_that_the_contract_names(tmp_path: Path) -> None:
    job = small(schedule={"name": "cosine", "warmupSteps": 1}, validation={"everySteps": 2})
    told = attempt(job, tmp_path, 1)
    steps = told.of("step")
    assert [record["step"] for record in steps] == [1, 2, 3, 4]
    assert [record["tokens"] for record in steps] == [64, 128, 192, 256]
    for record in steps:
        assert set(record) == {
            "event",
            "step",
            "loss",
            "tokens",
            "tokensPerSecond",
            "gradNorm",
            "lr",
            "dataWaitSeconds",
            "moe",
        }
        assert set(record["moe"]) == {"entropy", "maxLoad", "dropped", "dead"}
        assert 0 < record["moe"]["entropy"] <= 1 <= record["moe"]["maxLoad"]
        assert record["moe"]["dropped"] == 0
        rate = learning_rate(record["step"], peak=job.optimizer.lr or 0, steps=STEPS, schedule=job.schedule)
        assert record["lr"] == rate
    for record in told.of("eval"):
        assert record["perplexity"] == math.exp(record["loss"])
        assert 0 < record["entropy"] < record["loss"]
    assert [record["step"] for record in told.of("eval")] == [2, 4]
    saved = told.of("checkpoint")[-1]
    assert saved["step"] == STEPS
    assert saved["uri"] == str(job_store(tmp_path).find("latest"))
    assert saved["bytes"] > 0
    assert saved["stallSeconds"] >= 0
    assert job_store(tmp_path).verify(job_store(tmp_path).find("latest")).ok


def test_a_wish_to_stop_is_heard_by_all_saves_and_ends(tmp_path: Path) -> None:
    def wish(record: Record, control: Control) -> None:
        if record["event"] == "step" and record["step"] == 1:
            control.stop = True

    told = attempt(small(), tmp_path, 1, on_record=wish)
    assert told.finishes == [("stopped", 2)] * 2
    assert told.of("checkpoint")[-1]["step"] == 2
    assert told.of("restored") == []


def test_a_wish_to_save_is_granted_once(tmp_path: Path) -> None:
    def wish(record: Record, control: Control) -> None:
        if record["event"] == "step" and record["step"] == 1:
            control.save = True

    told = attempt(saving(interval_steps=None), tmp_path, 1, on_record=wish, prepare=patient)
    assert [record["step"] for record in told.of("checkpoint")] == [2, STEPS]


def test_saves_come_by_the_clock_too(tmp_path: Path) -> None:
    told = attempt(saving(interval_steps=None, interval_seconds=1e-6), tmp_path, 1)
    last = told.of("checkpoint")[-1]
    assert len(told.of("checkpoint")) + last["skipped"] == STEPS


@pytest.mark.parametrize(("failures", "saved"), [(0, [1, STEPS]), (10**9, [1, 2, 3, STEPS])])
def test_a_run_that_finds_its_interval_goes_by_what_a_save_cost_and_its_history(
    failures: int, saved: list[int], tmp_path: Path
) -> None:
    """The clock goes a minute a step, a save takes milliseconds: minutes lie between two if nothing ever failed."""

    def minutes(run: Run) -> None:
        patient(run)
        begin, now = run.begin, [0.0]

        def begin_at(step: int, model: Any) -> None:
            now[0] = step * FIRST_SECONDS
            begin(step, model)

        run.begin, run.clock = begin_at, lambda: now[0]  # type: ignore[method-assign]
        run._began = run._saved_at = 0.0
        run.history = History(failures, 0.0)

    told = attempt(saving(interval_steps=None, interval_seconds=3_600.0, auto=True), tmp_path, 1, prepare=minutes)
    assert [record["step"] for record in told.of("checkpoint")] == saved


def test_a_finished_run_that_is_started_again_has_nothing_to_do(tmp_path: Path) -> None:
    attempt(small(), tmp_path, 1)
    again = attempt(small(), tmp_path, 2)
    assert again.of("step") == again.of("checkpoint") == []
    assert again.finishes == [("completed", STEPS)] * 2


def standing_still() -> Plan:
    validation = {"everySteps": 1, "patience": 3}
    return job_plan(
        LAYOUTS["data 2"], steps=9, precision="fp32", optimizer={"lr": 1e-30, "weightDecay": 0}, validation=validation
    )


def test_a_run_whose_held_out_loss_stands_still_ends_by_its_patience_and_well(tmp_path: Path) -> None:
    job = standing_still()
    told = attempt(job, tmp_path, 1)
    losses = [record["loss"] for record in told.of("eval")]
    assert len(losses) == 4
    assert min(losses) == losses[0]
    assert told.finishes == [("completed", 4)] * 2
    (said,) = told.of("stoppedEarly")
    assert (said["step"], said["best"]) == (4, losses[0])
    assert told.of("checkpoint")[-1]["step"] == 4
    again = attempt(job, tmp_path, 2)
    assert again.of("step") == []
    assert again.finishes == [("completed", 4)] * 2


def test_patience_does_not_begin_anew_after_a_failure(tmp_path: Path) -> None:
    job = standing_still()

    def wish(record: Record, control: Control) -> None:
        control.stop |= record["event"] == "eval"

    first = attempt(job, tmp_path, 1, on_record=wish)
    ((kind, step), _) = first.finishes
    assert (kind, step) == ("stopped", 2)
    assert attempt(job, tmp_path, 2).finishes == [("completed", 4)] * 2


def test_a_rank_asked_to_kill_itself_says_so_and_is_gone(tmp_path: Path) -> None:
    said = tmp_path / "said"

    def note(record: Record, control: Control) -> None:
        if record["event"] == "chaos":
            said.write_text(f"{record['fault']} {record['rank']} {record['step']}")

    with pytest.raises(RankFailed):
        attempt(small(), tmp_path / "job", 1, chaos=[Kill(rank=1, step=3)], on_record=note)
    assert said.read_text() == "kill:1@3 1 3"


def test_a_rollback_equals_the_run_that_never_read_these_rows(tmp_path: Path) -> None:
    job = saving(interval_steps=1, interval_seconds=None)
    rows = job.batch.rows

    def bear_nothing(run: Run) -> None:
        run.bears = 0

    def leave_out(run: Run) -> None:
        run.skips = ((2 * rows, 3 * rows),)

    with pytest.raises(RankFailed, match="steps 3 to 3 were not finite"):
        attempt(job, tmp_path / "rolled", 1, chaos=[Kill(rank=0, step=3, kind="nan")], prepare=bear_nothing)
    rolled = attempt(job, tmp_path / "rolled", 2, prepare=leave_out)
    whole = attempt(job, tmp_path / "whole", 1, prepare=leave_out)
    assert min(rolled.losses) <= 3 and max(rolled.losses) == STEPS
    assert rolled.losses == {step: whole.losses[step] for step in rolled.losses}


@pytest.mark.parametrize("name", ["data 2", "pipeline 2"])
def test_a_non_finite_step_changes_nothing_on_any_rank(name: str, tmp_path: Path) -> None:
    """One rank alone finds step 2 not finite: all skip it."""
    job = small(LAYOUTS[name])

    def poison(run: Run) -> None:
        if run.world.rank == 1:
            mismeasure(run, loss=float("nan"))

    told = attempt(job, tmp_path, 1, prepare=poison)
    second = told.of("step")[1]
    assert (second["loss"], second["gradNorm"], second["skipped"]) == (None, None, True)
    assert all("skipped" not in record for record in told.of("step") if record["step"] != 2)
    assert math.isfinite(told.losses[STEPS])
    state = job_store(tmp_path).open(job_store(tmp_path).find("latest")).manifest.state
    assert (state["step"], state["optimizer"]["updates"]) == (STEPS, STEPS - 1)  # type: ignore[index,call-overload]


@pytest.mark.parametrize("name", ["data 2", "tensor 2", "pipeline 2"])
def test_a_poisoned_weight_of_one_rank_is_seen_by_every_rank(name: str) -> None:
    job = small(LAYOUTS[name])

    def work(rank: int) -> tuple[bool, bool]:
        world = build_world(job.mesh, torch.device("cpu"))
        engine = Engine(job, world)
        ((tokens, labels),) = random_batches(job, 1)
        mine = slice(world.at("data"), None, world.size("data"))
        rows = Rows(tokens[mine], labels[mine])
        before = engine.forward_backward(rows).finite
        engine.clear()
        if rank == 0:
            next(iter(engine.backend.optimizer.shards.values())).fill_(float("inf"))
        return before, engine.forward_backward(rows).finite

    assert run_ranks(job.world_size, work) == [(True, False)] * 2


@pytest.mark.parametrize("name", ["data 2", "tensor 2", "pipeline 2", "pipeline 4"])
def test_first_values_are_the_same_in_every_layout(name: str) -> None:
    def values(layout: Layout) -> dict[str, Any]:
        job = job_plan(layout, model={"moe": EXPERTS, "layers": 4}, precision="fp32")

        def work(rank: int) -> dict[str, Any]:
            engine = Engine(job, build_world(job.mesh, torch.device("cpu")))
            tensors = engine.model.state_dict().items()
            return {key: value.full_tensor() if hasattr(value, "full_tensor") else value for key, value in tensors}

        return {key: value for part in run_ranks(job.world_size, work) for key, value in part.items()}

    alone, cut = values(ALONE), values(LAYOUTS[name])
    assert alone.keys() == cut.keys()
    for key in alone:
        assert alone[key].tobytes() == cut[key].tobytes(), key


def test_held_out_loss_falls_by_a_third_in_forty_steps(tmp_path: Path) -> None:
    spec = {
        "model": {"preset": "moe-tiny"},
        "data": {"uri": "builtin://stories"},
        "training": {"steps": 40, "validation": {"everySteps": 39}},
        "workers": {"count": 2},
    }
    job = plan(JobSpec.model_validate(spec))
    told = attempt(job, tmp_path, 1)
    guess = math.log(job.model.vocabulary)
    assert told.losses[1] == pytest.approx(guess, rel=0.02)
    assert told.of("eval")[-1]["loss"] < guess * 2 / 3
    assert all(record["moe"]["dead"] < 8 for record in told.of("step"))
