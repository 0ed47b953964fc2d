"""`run_local` on a real Ray: ends well, survives what is done to it, and leaves nothing behind."""

import signal

import pytest

from integration.runtime.conftest import STEPS, LocalRun, Start, tiny_job, wait_until_gone
from ultrathink_trainer.runtime import processes


def test_a_run_ends_with_a_verified_checkpoint(undisturbed: LocalRun) -> None:
    events = undisturbed.events
    assert [event["event"] for event in events[:3]] == ["run", "plan", "attempt"]
    assert events[2] == {
        "event": "attempt",
        "attempt": 1,
        "cause": None,
        "resumedFrom": None,
        "recoverySeconds": None,
    }
    assert [event["step"] for event in undisturbed.named("step")] == list(range(1, STEPS + 1))
    summary = events[-1]
    assert (summary["phase"], summary["step"], summary["attempts"]) == ("Succeeded", STEPS, 1)
    assert (summary["checkpoint"]["step"], summary["checkpoint"]["verified"]) == (STEPS, True)


def test_all_wall_time_is_accounted_for(undisturbed: LocalRun) -> None:
    goodput = undisturbed.events[-1]["goodput"]
    seconds = goodput["seconds"]
    assert goodput["ratio"] == pytest.approx(seconds["productive"] / sum(seconds.values()), abs=1e-3)
    assert seconds["startup"] > 0 and seconds["productive"] > 0 and seconds["replay"] == 0


def test_a_killed_rank_costs_steps_and_changes_no_loss(start: Start, undisturbed: LocalRun) -> None:
    run = start(chaos=["kill:1@20"])
    summary = run.summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 2)
    second = run.named("attempt")[1]
    assert (second["cause"], second["resumedFrom"] > 0, second["recoverySeconds"] > 0) == ("RankLost", True, True)
    assert run.losses == undisturbed.losses
    assert summary["goodput"]["seconds"]["replay"] > 0


@pytest.mark.fault("F37")
def test_with_copies_a_killed_rank_costs_only_the_step_in_flight(start: Start, undisturbed: LocalRun) -> None:
    saves = {"every": {"steps": 20}, "copies": {"every": 1}}
    run = start(job=tiny_job(checkpoint=saves), chaos=["kill:1@12"])
    summary = run.summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 2)
    assert run.named("attempt")[1]["resumedFrom"] == 11
    assert run.losses == undisturbed.losses
    assert summary["goodput"]["seconds"]["replay"] == 0


def test_a_drained_node_and_a_lost_driver_change_no_loss(start: Start, undisturbed: LocalRun) -> None:
    run = start(chaos=["sigterm@9,driver@18"])
    summary = run.summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 3)
    assert [attempt["cause"] for attempt in run.named("attempt")] == [None, "Drained", "DriverLost"]
    assert run.named("attempt")[1]["resumedFrom"] >= 9, "a drain saves first"
    assert run.losses == undisturbed.losses


def test_a_stopped_run_saves_and_goes_on_under_its_uid(start: Start, undisturbed: LocalRun) -> None:
    run = start()
    uid = run.until(lambda event: event["event"] == "run")["uid"]
    run.until(lambda event: event["event"] == "step" and event["step"] >= 6)
    run.process.send_signal(signal.SIGTERM)
    stopped = run.summary()
    assert stopped["phase"] == "Suspended"
    assert stopped["checkpoint"]["step"] == stopped["step"] >= 6 and stopped["checkpoint"]["verified"]

    again = start(resume=uid)
    summary = again.summary()
    assert (summary["phase"], summary["attempts"]) == ("Succeeded", 2)
    assert again.named("attempt")[0] | {"recoverySeconds": None} == {
        "event": "attempt",
        "attempt": 2,
        "cause": "Suspended",
        "resumedFrom": stopped["step"],
        "recoverySeconds": None,
    }
    assert run.losses | again.losses == undisturbed.losses


def test_data_that_do_not_exist_end_the_job_with_a_code(start: Start) -> None:
    run = start(bare=True, job=tiny_job(data={"uri": "builtin://nothing", "sequenceLength": 32}))
    summary = run.summary()
    assert (summary["phase"], summary["code"][:5], summary["attempts"]) == ("Failed", "UTK02", 1)
    assert summary["message"] and summary["fix"]


def test_nothing_outlives_a_killed_command(start: Start) -> None:
    run = start()
    run.until(lambda event: event["event"] == "step")
    below = processes.descendants(run.process.pid)
    assert len(below) > 5, "supervisor, agent, zygote, ranks, Ray"
    run.process.kill()
    wait_until_gone(below)
