"""A job that is suspended in mid-training and goes on ends where it would have ended: no step is done twice."""

import json

from e2e.house import JOBS, House
from e2e.jobs import END_S, START_S, Job, quickstart, utk
from e2e.waiting import wait_for

STEPS = 200
SUSPENDED_S = 120.0
BEGUN = 25


def test_suspend_resume_and_restart_cost_only_time(house: House, undisturbed: Job) -> None:
    with Job(house, "interrupted") as job:
        job.apply(quickstart("interrupted"))
        job.wait_for_step(BEGUN, START_S)
        stopped = utk(house, "stop", "interrupted", "-n", JOBS, "--timeout", f"{SUSPENDED_S:.0f}s", "-o", "json")
        assert stopped.returncode == 0, stopped.stderr
        assert json.loads(stopped.stdout)["status"]["phase"] == "Suspended"
        assert not house.kubernetes.items("pods,statefulsets,services", JOBS, job.selector)
        at_rest = job.last_step()
        assert BEGUN <= at_rest < STEPS, "it was not hit in mid-training"

        assert utk(house, "resume", "interrupted", "-n", JOBS).returncode == 0
        job.wait_for_step(at_rest + BEGUN, START_S)
        assert utk(house, "restart", "interrupted", "-n", JOBS).returncode == 0
        status = job.wait_for_end(START_S + END_S)
        assert status["phase"] == "Succeeded", status
        assert status["cluster"]["number"] == 2

        def all_heard() -> bool:
            return job.last_step() == STEPS

        wait_for("the last line of its log", all_heard, SUSPENDED_S, job.brief)
        steps = [event["step"] for event in job.events("step")]
        assert sorted(steps) == list(range(1, STEPS + 1)), "a step was done twice, or not at all"
        causes = [event["cause"] for event in job.events("attempt")]
        assert causes == [None, "Suspended", "SpecChanged"]
        assert status["restarts"]["counted"] == 0
        assert job.losses() == undisturbed.losses()
