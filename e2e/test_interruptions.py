"""(d), (e) and what a release and an API server live through: one job trains on through all of it, then is deleted."""

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import pytest
import yaml
from e2e.house import DEPLOYMENT, ELSEWHERE, JOBS, RELEASE, SYSTEM, WATCHED, House
from e2e.jobs import END_S, START_S, Job, lives, quickstart, utk
from e2e.kubernetes import Kubernetes
from e2e.waiting import say, wait_for

OPERATOR_OUTAGE_S = 60.0
API_OUTAGE_S = float(os.environ.get("UTK_E2E_OUTAGE_SECONDS", "120"))
LOOKS = 6
ADVANCE_S = 20.0
"""A step takes well below a second; more than this between two is a training that has stopped."""
BACK_S = 30.0
"""How soon the status is right after the operator, or the API server, is back."""
FRESH_S = 45.0
"""How old the progress may be that is shown."""
GONE_S = 180.0
AWAY_S = 60.0
STEPS = 20
OPERATOR = "app.kubernetes.io/component=operator"
OWN = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/managed-by=Helm"
CLUSTER_WIDE = "clusterroles,clusterrolebindings"
LEFT_BEHIND = "statefulsets,pods,services,configmaps,secrets,networkpolicies,poddisruptionbudgets"


@pytest.fixture(scope="module")
def endless(house: House) -> Iterator[Job]:
    """A job that is far from its end, and from its first checkpoint."""
    with Job(house, "endless") as job:
        job.apply(quickstart("endless", lambda spec: spec["training"].update(steps=1_000_000)))
        job.wait_for_step(5, START_S)
        yield job


def test_a_release_for_its_namespaces_makes_nothing_cluster_wide(house: House) -> None:
    rendered = yaml.safe_load_all(house.kubernetes.helm("get", "manifest", RELEASE, "--namespace", SYSTEM))
    assert not [one["kind"] for one in rendered if one and one["kind"].startswith("ClusterRole")]
    assert not made_cluster_wide(house)


def made_cluster_wide(house: House) -> list[str]:
    return house.kubernetes.kubectl("get", CLUSTER_WIDE, "-l", OWN, "-o", "name").split()


def test_d_training_does_not_need_the_operator(house: House, endless: Job) -> None:
    kubernetes, before = house.kubernetes, endless.pods()
    kill_operator(kubernetes)
    gone_at = time.monotonic()
    try:
        while (gone_for := time.monotonic() - gone_at) < OPERATOR_OUTAGE_S:
            step = endless.last_step()
            endless.wait_for_step(step + 1, ADVANCE_S)
            say(f"the operator is gone for {gone_for:.0f} s; training is at step {endless.last_step()}")
            time.sleep(OPERATOR_OUTAGE_S / LOOKS)  # the length of the outage is what is asked for, not a wait
    finally:
        kubernetes.kubectl("scale", "-n", SYSTEM, DEPLOYMENT, "--replicas=1")
    at_return = endless.last_step()
    kubernetes.kubectl("-n", SYSTEM, "rollout", "status", DEPLOYMENT, "--timeout=60s")
    wait_for_status(endless, at_return, BACK_S)
    assert endless.pods() == before
    assert_undisturbed(endless)


def kill_operator(kubernetes: Kubernetes) -> None:
    """By SIGKILL, and nothing in its place."""
    kubernetes.kubectl("scale", "-n", SYSTEM, DEPLOYMENT, "--replicas=0")
    kubernetes.kubectl("delete", "pods", "-n", SYSTEM, "-l", OPERATOR, "--grace-period=0", "--force")
    wait_for("the operator to be gone", lambda: not kubernetes.items("pods", SYSTEM, OPERATOR), GONE_S)


def wait_for_status(job: Job, step: int, within_s: float) -> None:
    def right() -> bool:
        status = job.status()
        return status["phase"] == "Running" and status["progress"]["step"] >= step

    wait_for(f"a status that says Running, step >= {step}", right, within_s, job.brief)


def assert_undisturbed(job: Job) -> None:
    """One attempt on one cluster, and each step of it once."""
    assert [event["attempt"] for event in job.events("attempt")] == [1]
    steps = [event["step"] for event in job.events("step")]
    assert steps == list(range(1, len(steps) + 1)), "a step was done twice, or not at all"
    assert job.status()["cluster"]["number"] == 1


@pytest.mark.fault("F04")
def test_training_does_not_need_the_api_server(house: House, endless: Job) -> None:
    if house.without_api_server is None:
        pytest.skip("the API server of a cluster that is given is not ours to stop")
    pods, operator = endless.pods(), lives(house, SYSTEM, OPERATOR)

    def answers() -> bool:
        return house.kubernetes.try_kubectl("get", "--raw", "/readyz").code == 0

    with house.without_api_server():
        wait_for("the API server to be gone", lambda: not answers(), AWAY_S)
        say(f"for {API_OUTAGE_S:.0f} s there is no API server")
        time.sleep(API_OUTAGE_S)  # the length of the outage is what is asked for, not a wait
    wait_for("the API server to be back", answers, AWAY_S)

    def right() -> bool:
        """Also about progress, which is written each 30 s at most."""
        status, since = endless.status(), time.time() - FRESH_S
        then = max((step for at, step in told(endless) if at < since), default=0)
        return status["phase"] == "Running" and status["progress"]["step"] >= then

    wait_for("a status that is right", right, BACK_S, endless.brief)
    assert endless.pods() == pods
    assert lives(house, SYSTEM, OPERATOR) == operator
    times = [at for at, _ in told(endless)]
    assert max(b - a for a, b in pairwise(times)) < ADVANCE_S, "training stood still"
    endless.wait_for_step(len(times), ADVANCE_S)
    assert_undisturbed(endless)


def told(job: Job) -> list[tuple[float, int]]:
    """When its head's container said each step, and which, by the clock of whoever keeps the log."""
    log = job.house.kubernetes.kubectl("logs", "--timestamps", "-n", job.namespace, job.pod("head"))
    found = []
    for line in log.splitlines():
        at, _, said = line.partition(" ")
        if said.startswith("{") and (event := json.loads(said)).get("event") == "step":
            found.append((datetime.fromisoformat(at).timestamp(), event["step"]))
    return found


def test_an_upgrade_and_its_rollback_touch_no_pod_of_a_running_job(house: House, endless: Job) -> None:
    pods, operator = endless.pods(), lives(house, SYSTEM, OPERATOR)
    house.upgrade("operator.logLevel=debug", "runtime.pods.cpus=250m")
    upgraded = lives(house, SYSTEM, OPERATOR)
    assert set(upgraded) - set(operator), "no operator is new, so this shows nothing"
    assert_shown_fresh(endless)
    house.rollback()
    assert set(lives(house, SYSTEM, OPERATOR)) - set(upgraded) - set(operator)
    assert_shown_fresh(endless)
    assert endless.pods() == pods
    assert_undisturbed(endless)


def assert_shown_fresh(job: Job) -> None:
    """Where the job is now is soon what `kubectl get utj` and `utk status` show."""
    now = job.last_step()
    wait_for(f"kubectl to show step {now}", lambda: int(job.row()["STEP"] or 0) >= now, FRESH_S, job.row)
    shown = utk(job.house, "status", job.name, "-n", job.namespace, "-o", "jsonpath={.status.progress.step}")
    assert int(shown.stdout) >= now, shown


def test_uninstalled_and_installed_for_all_namespaces_the_job_goes_on(house: House, endless: Job) -> None:
    pods = endless.pods()
    house.uninstall()
    try:
        key = [f"secret/{RELEASE}-control"]  # without it running jobs could not be spoken to again
        wait_for("nothing but the key", lambda: left_of_release(house) == key, GONE_S, lambda: left_of_release(house))
        assert house.kubernetes.get("crd", "ultrathinkjobs.ultrathink.io")
        at_uninstall = endless.last_step()
        endless.wait_for_step(at_uninstall + 1, ADVANCE_S)
        house.install("scope=cluster", "rbac.userRoles=true")
        assert len(made_cluster_wide(house)) == len(("operator", "its binding", "view", "edit", "admin"))
        with Job(house, "far-away", ELSEWHERE) as far_away:
            small = {"training": {"steps": STEPS}, "workers": {"count": 1}}
            far_away.apply(quickstart("far-away", lambda spec: spec.update(small)))
            assert far_away.wait_for_end(START_S + END_S)["phase"] == "Succeeded"
        assert_shown_fresh(endless)
    finally:
        house.uninstall()
        house.install()
    assert not made_cluster_wide(house)
    assert_shown_fresh(endless)
    assert endless.pods() == pods
    assert_undisturbed(endless)


def left_of_release(house: House) -> list[str]:
    kinds = "deployments,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings"
    return [
        name
        for namespace in (SYSTEM, *WATCHED)
        for name in house.kubernetes.kubectl("get", kinds, "-n", namespace, "-l", OWN, "-o", "name").split()
    ]


def test_from_the_release_before_to_this_one_a_running_job_goes_on(house: House, endless: Job) -> None:
    pods = endless.pods()
    house.uninstall()
    house.install_previous()  # with its CRDs, so this is their rollback, and the upgrade below theirs
    before, step = fields(house), endless.last_step()
    endless.wait_for_step(step + 1, ADVANCE_S)
    house.upgrade(*house.settings)
    assert before < fields(house), "the CRDs did not change, so this shows nothing"
    assert_shown_fresh(endless)
    assert endless.pods() == pods
    assert_undisturbed(endless)


def fields(house: House) -> set[str]:
    """Of a job's spec, by the schema that is served."""
    crd = house.kubernetes.get("crd", "ultrathinkjobs.ultrathink.io")
    return set(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


def test_e_deleting_in_mid_training_saves_first_and_leaves_only_checkpoints(house: House, endless: Job) -> None:
    assert not endless.last_checkpoint(), "it has saved before, so this could not show that deletion saves"
    at_deletion = endless.last_step()
    house.kubernetes.kubectl("delete", "utj", endless.name, "-n", JOBS, "--wait=false")

    def rest() -> list[str]:
        found = house.kubernetes.items(f"utj,{LEFT_BEHIND}", JOBS)
        ours = [o for o in found if o["metadata"]["name"].startswith(endless.name)]
        return [f"{o['kind']}/{o['metadata']['name']}" for o in ours]

    wait_for("nothing to be left", lambda: not rest(), GONE_S, rest)
    verification = endless.verify_checkpoints()
    assert verification["verified"] is True
    assert max(item["step"] for item in verification["items"]) >= at_deletion
