"""(f) to (h): what cannot run says so at once, with the words of whoever knows why."""

import json
from contextlib import ExitStack
from typing import Any

import pytest
from e2e.house import ABSENT_SECRET, BOUNDED, ELSEWHERE, JOBS, PODS, RELEASE, SYSTEM, House
from e2e.jobs import Job, quickstart, utk
from e2e.waiting import wait_for

from ultrathink_api import GROUP_VERSION

SAID_S = 30.0
ONE = {"count": 1}


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


@pytest.mark.fault("F29", "F30", "F31", "F32")
def test_g_what_cannot_start_is_told_in_the_words_of_whoever_knows(house: House) -> None:
    furnish(house)
    cases = {
        "too-large": (JOBS, {"workers": {"count": 1, "cpus": "1000"}}, "Unschedulable", "Insufficient cpu"),
        "no-image": (JOBS, {"runtime": "no-image"}, "ImagePullError", "make images"),
        "no-secret": (JOBS, {"runtime": "no-secret"}, "FailedMount", f'secret "{ABSENT_SECRET}" not found'),
        "over-quota": (BOUNDED, {}, "QuotaExceeded", "limited: pods=0"),
    }
    with ExitStack() as all_of_them:
        jobs = {name: all_of_them.enter_context(Job(house, name, where)) for name, (where, *_) in cases.items()}
        for name, (_, change, _, _) in cases.items():
            jobs[name].apply(quickstart(name, lambda spec, change=change: spec.update({"workers": ONE, **change})))
        for name, (where, _, reason, words) in cases.items():
            job = jobs[name]
            wait_for(
                f"the reason {reason}", lambda job=job, reason=reason: job.row()["REASON"] == reason, SAID_S, job.row
            )
            shown = utk(house, "status", name, "-n", where)
            assert reason in shown.stdout and words in shown.stdout, shown
            status = job.status()
            assert status["phase"] in ("Scheduling", "Queued")
            assert words in json.dumps(status["conditions"]).replace('\\"', '"')
            assert "attempt" not in status, "it has spent an attempt"


def furnish(house: House) -> None:
    """A quota that lets no pod in, and runtimes that name what there is not."""
    kubernetes = house.kubernetes
    kubernetes.kubectl("create", "quota", "none", "-n", BOUNDED, "--hard=pods=0")
    specs = {
        "no-image": {"image": f"{house.trainer}-there-is-none"},
        "no-secret": {"image": house.trainer, "storage": {"uri": f"s3://{house.bucket}", "secretName": ABSENT_SECRET}},
    }
    for name, spec in specs.items():
        runtime = {"apiVersion": GROUP_VERSION, "kind": "UltraThinkRuntime", "metadata": {"name": name}}
        given = {"storage": {"uri": f"s3://{house.bucket}"}, "pods": PODS, **spec}
        kubernetes.kubectl("apply", "-n", JOBS, "-f", "-", stdin=json.dumps({**runtime, "spec": given}))


def test_h_a_job_that_no_operator_watches_is_explained(house: House, tmp_path: Any) -> None:
    file = tmp_path / "unwatched.yaml"
    file.write_text(quickstart("unwatched"))
    done = utk(house, "submit", str(file), "-n", ELSEWHERE)
    said = done.stdout + done.stderr
    assert f"no operator watches namespace {ELSEWHERE}" in said
    assert "helm" in said
    assert "Traceback" not in said
