"""(f) to (h): what cannot run says so at once, with the words of whoever knows why."""

import json
from typing import Any

import pytest
from e2e.house import ELSEWHERE, JOBS, RELEASE, SYSTEM, House
from e2e.jobs import Job, quickstart, utk
from e2e.waiting import wait_for

SAID_S = 30.0


def test_helm_test_finds_nothing_wrong(house: House) -> None:
    said = house.kubernetes.helm("test", RELEASE, "--namespace", SYSTEM, "--timeout", "2m", "--logs")
    assert "WRONG" not in said and f"ok    the operator has its rights in {JOBS}" in said


@pytest.mark.fault("F44")
def test_f_an_invalid_job_is_refused_by_the_api_server_with_code_and_fix(house: House) -> None:
    invalid = quickstart("invalid", lambda spec: spec.update(parallelism={"data": 4}))
    answer = house.kubernetes.try_kubectl("apply", "-n", JOBS, "-f", "-", stdin=invalid)
    assert answer.code != 0
    assert "UTK0107" in answer.err
    assert "fix:" in answer.err
    assert house.kubernetes.get("utj", "invalid", "-n", JOBS) is None


def test_g_a_job_too_large_for_the_node_waits_with_the_schedulers_own_words(house: House) -> None:
    with Job(house, "too-large") as job:
        job.apply(quickstart("too-large", lambda spec: spec["workers"].update(cpus="1000")))

        def told() -> dict[str, Any] | None:
            status = job.status()
            return status if status.get("reason") == "Unschedulable" else None

        status = wait_for("the reason Unschedulable", told, SAID_S, job.brief)
        assert status["phase"] == "Scheduling"
        assert "Insufficient cpu" in json.dumps(status["conditions"])


def test_h_a_job_that_no_operator_watches_is_explained(house: House, tmp_path: Any) -> None:
    file = tmp_path / "unwatched.yaml"
    file.write_text(quickstart("unwatched"))
    done = utk(house, "submit", str(file), "-n", ELSEWHERE)
    said = done.stdout + done.stderr
    assert f"no operator watches namespace {ELSEWHERE}" in said
    assert "helm" in said
    assert "Traceback" not in said
