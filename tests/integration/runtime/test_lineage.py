"""A run's record is enough to have the same run again, loss by loss."""

from integration.runtime.conftest import SAVE_EVERY, STEPS, LocalRun, Start, tiny_job
from ultrathink.lineage import reproduced


def test_a_reproduced_run_has_the_same_losses(start: Start, undisturbed: LocalRun) -> None:
    made = reproduced(undisturbed.events[-1]["checkpoint"]["uri"])
    assert made.job["spec"]["data"]["fingerprint"], "other data would be refused"
    assert made.notes == ()
    again = start(job=made.job, bare=True)
    assert again.summary()["phase"] == "Succeeded"
    assert again.losses == undisturbed.losses


def test_a_run_that_began_at_a_checkpoint_is_reproduced_from_there(start: Start, undisturbed: LocalRun) -> None:
    middle = next(event for event in undisturbed.named("checkpoint") if event["step"] == STEPS - SAVE_EVERY)
    run = start(job=tiny_job(resume={"from": middle["uri"]}), bare=True)
    summary = run.summary()
    assert summary["phase"] == "Succeeded"
    later = {step: losses for step, losses in undisturbed.losses.items() if step > middle["step"]}
    assert run.losses == later
    assert reproduced(summary["checkpoint"]["uri"]).job["spec"]["resume"] == {"from": middle["uri"]}
