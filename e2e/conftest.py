"""The suite's one cluster, with the operator in it; what it needs is chosen and built by the test bed."""

from collections.abc import Iterator

import pytest
from e2e import dump
from e2e.house import JOBS, SYSTEM, House, in_cluster
from e2e.jobs import END_S, QUICKSTART, START_S, Job
from e2e.waiting import say

from testbed.makers import choose
from testbed.needs import require


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """A cluster in which the operator runs: UTK_E2E_KUBECONFIG's, kind's, or one of processes."""
    chosen = choose()
    cluster = require(chosen.__enter__)
    try:
        with in_cluster(cluster) as house:
            yield house
    finally:
        chosen.__exit__(None, None, None)


@pytest.fixture(scope="session")
def undisturbed(house: House) -> Iterator[Job]:
    """(a)'s job, from `kubectl apply` of the unchanged example to its end."""
    with Job(house, "quickstart") as job:
        house.kubernetes.kubectl("apply", "-n", JOBS, "-f", str(QUICKSTART))
        say("manifests/examples/quickstart.yaml is applied")
        job.wait_for_end(START_S + END_S)
        yield job


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Adds all that the cluster can tell to the report of a test that failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    house = getattr(item, "funcargs", {}).get("house")
    if report.when in ("setup", "call") and report.failed and house is not None:
        report.sections.append(("the cluster", dump.everything(house.kubernetes, SYSTEM, JOBS)))
