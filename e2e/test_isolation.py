"""N28 on a network that enforces policies, as kind's does: nobody outside a job reaches Ray, the ranks or the control
port."""

import json

import pytest
from e2e.house import ELSEWHERE, JOBS, House
from e2e.jobs import START_S, Job, quickstart
from e2e.pods import said_by

from ultrathink_api.protocol import CONTROL_PORT, DASHBOARD_PORT, RAY_PORT, STORE_PORT

STEPS = 5_000
"""More than it comes to: the job is deleted once it was probed."""
INSIDE_ONLY = {DASHBOARD_PORT}
"""It listens within its pod alone: closed with or without a policy."""
PORTS = (RAY_PORT, CONTROL_PORT, STORE_PORT, DASHBOARD_PORT)
PROBE = """
import json, socket, sys
def reached(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True
print(json.dumps([reached(*address.rsplit(":", 1)) for address in sys.argv[1:]]))
"""


def test_a_pod_of_another_namespace_reaches_no_port_of_a_job(house: House) -> None:
    with Job(house, "isolated") as job:
        job.apply(quickstart("isolated", lambda spec: spec.update(training={"steps": STEPS})))
        job.wait_for_step(1, START_S)
        head = house.kubernetes.get("pod", job.pod("head"), "-n", JOBS)["status"]["podIP"]
        api_server, *reached = probe(house, "kubernetes.default:443", *(f"{head}:{port}" for port in PORTS))
    assert api_server, "the probe reaches nothing at all"
    if house.maker == "processes":
        assert reached == [port not in INSIDE_ONLY for port in PORTS], "a policy is in force: this need not be skipped"
        pytest.skip("no network policy is in force on the cluster of processes; the e2e workflow runs it on kind")
    assert reached == [False] * len(PORTS)


def probe(house: House, *addresses: str) -> list[bool]:
    """Which of them a pod in a namespace without jobs can connect to."""
    return list(
        json.loads(said_by(house.kubernetes, ELSEWHERE, "probe", house.trainer, "python", "-c", PROBE, *addresses))
    )
