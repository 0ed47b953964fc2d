"""A worker that is evicted, as by `kubectl drain`: it saves within its grace, leaves with 143, and no step is lost."""

import json
import subprocess
import threading

import pytest
from e2e.house import JOBS, House
from e2e.jobs import END_S, START_S, Job, quickstart
from e2e.waiting import wait_for

STEPS = 200
BEGUN = 25
DRAINED_EXIT_CODE = "143"
LAST_WORDS_S = 60.0
EXIT_CODES = r'{.status.containerStatuses[*].state.terminated.exitCode}{"\n"}'


class ExitCodes:
    """`with ExitCodes(house, pod) as seen:` listens to the pods of that name; `seen.found` has those that ended."""

    def __init__(self, house: House, pod: str) -> None:
        command = [
            house.kubernetes.kubectl_path,
            "get",
            "pod",
            pod,
            "-n",
            JOBS,
            "--watch",
            "-o",
            f"jsonpath={EXIT_CODES}",
        ]
        environment = house.kubernetes.environment()
        self.found: set[str] = set()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "ExitCodes":
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self.found |= set(line.split())


def evict(house: House, pod: str) -> None:
    """What `kubectl drain` asks for each pod of a node; a PodDisruptionBudget may refuse it."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": JOBS}}
    path = f"/api/v1/namespaces/{JOBS}/pods/{pod}/eviction"
    house.kubernetes.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


@pytest.mark.fault("F35")
def test_an_evicted_worker_saves_and_leaves_and_no_step_is_done_twice(house: House, undisturbed: Job) -> None:
    with Job(house, "drained") as job:
        job.apply(quickstart("drained"))
        job.wait_for_step(BEGUN, START_S)
        pod, at_eviction = job.pod("worker", 1), job.last_step()
        with ExitCodes(house, pod) as seen:
            evict(house, pod)
            wait_for("its exit code", lambda: seen.found, LAST_WORDS_S, job.brief)
        assert seen.found == {DRAINED_EXIT_CODE}
        status = job.wait_for_end(START_S + END_S)
        assert status["phase"] == "Succeeded", status
        wait_for("the last line of its log", lambda: job.last_step() == STEPS, LAST_WORDS_S, job.brief)
        attempts = job.events("attempt")
        assert [event["cause"] for event in attempts] == [None, "Drained"]
        assert attempts[1]["resumedFrom"] >= at_eviction, "it left before it saved"
        assert sorted(event["step"] for event in job.events("step")) == list(range(1, STEPS + 1)), "a step done twice"
        assert status["restarts"]["counted"] == 0
        assert job.losses() == undisturbed.losses()
