"""The operator as a process: killed, restarted, asked for its health, told to stop; two of them and one leader."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from integration.operator.parts.head import Head
from integration.operator.parts.place import Place, eventually, operator_account
from integration.operator.parts.process import OperatorProcess
from ultrathink_operator.loop import AT_ONCE

Start = Callable[..., OperatorProcess]
OTHERS = 24
"""Sockets beside those of passes: watches and audits of five kinds, the Lease, two ports and who asks there."""


@pytest.fixture
def start(lonely: Place, tmp_path: Path) -> Iterator[Start]:
    """Starts replicas that watch the lonely namespace, which is also their own."""
    account = operator_account(lonely.plane, lonely.namespace, [lonely.namespace])
    with ExitStack() as running:

        def one(identity: str = "operator-0") -> OperatorProcess:
            process = running.enter_context(OperatorProcess(tmp_path, lonely.namespace, account, identity))
            process.wait_ready()
            return process

        yield one


def holder(place: Place) -> Any:
    lease = client.CoordinationV1Api(place.api).read_namespaced_lease("ultrathink-operator", place.namespace)
    return lease.spec.holder_identity


def test_killed_at_any_time_it_comes_back_to_the_same_end(
    lonely: Place, start: Start, head_of: Callable[..., Head]
) -> None:
    operator = start()
    lonely.submit("hardy")
    eventually(lambda: lonely.status("hardy").get("cluster"))
    operator.kill()
    operator.start()
    head = head_of(lonely, "hardy")
    head.train(20)
    eventually(lambda: lonely.status("hardy").get("phase") == "Running", says=operator.said)

    operator.kill()
    head.train(60)
    head.commit(50)
    before = {p.metadata.name: p.metadata.uid for p in lonely.pods()}
    operator.start()
    eventually(lambda: lonely.status("hardy").get("checkpoint", {}).get("step") == 50, says=operator.said)
    assert lonely.status("hardy")["phase"] == "Running"
    assert before == {p.metadata.name: p.metadata.uid for p in lonely.pods()}

    operator.kill()
    head.end()
    operator.start()
    eventually(lambda: lonely.status("hardy").get("phase") == "Succeeded", says=operator.said)
    assert lonely.status("hardy")["cluster"]["number"] == 1
    eventually(lambda: [c for c in lonely.children() if not c.startswith("Secret/")] == [], says=lonely.children)


def test_a_restart_writes_nothing_that_changes_nothing(
    lonely: Place, start: Start, head_of: Callable[..., Head]
) -> None:
    operator = start()
    lonely.submit("still")
    head = head_of(lonely, "still")
    head.train(20)
    eventually(lambda: lonely.status("still").get("phase") == "Running", says=operator.said)
    eventually(lambda: lonely.condition("still", "Degraded").get("status") == "False")
    operator.kill()
    version, asked = lonely.job("still")["metadata"]["resourceVersion"], head.asked
    operator.start()
    operator.wait_ready()
    eventually(lambda: head.asked >= asked + 2, says=operator.said)
    assert lonely.job("still")["metadata"]["resourceVersion"] == version


def test_a_standby_takes_over_when_the_leader_is_told_to_stop(lonely: Place, start: Start) -> None:
    first = start("operator-a")
    eventually(lambda: holder(lonely) == "operator-a", says=first.said)
    second = start("operator-b")
    assert "ultrathink_operator_leader 0.0" in second.get(second.metrics_port, "/metrics")[1]
    lonely.submit("handed")
    eventually(lambda: lonely.sets() == ["handed-1-head", "handed-1-worker"], says=first.said)
    assert first.terminate() == 0
    eventually(lambda: holder(lonely) == "operator-b", deadline_s=12, says=second.said)
    lonely.delete_job("handed")
    eventually(lambda: not lonely.exists("handed"), says=second.said)


def test_it_shows_its_health_and_its_jobs(lonely: Place, start: Start) -> None:
    operator = start()
    lonely.submit("seen")
    eventually(lambda: lonely.status("seen").get("phase") == "Scheduling", says=operator.said)
    assert operator.get(operator.health_port, "/healthz")[0] == 200
    assert operator.get(operator.metrics_port, "/readyz") == (200, "ok")
    text = operator.get(operator.metrics_port, "/metrics")[1]
    for line in (
        "ultrathink_operator_leader 1.0",
        f'ultrathink_job_phase{{job="seen",namespace="{lonely.namespace}",phase="Scheduling"}} 1.0',
        'rest_client_requests_total{code="201",method="POST"}',
        'controller_runtime_reconcile_errors_total{controller="ultrathinkjob"} 0.0',
        'workqueue_depth{name="jobs"}',
        f'ultrathink_operator_watch_restarts_total{{kind="pods/{lonely.namespace}"}}',
    ):
        assert line in text, line


@pytest.mark.fault("F17")
def test_a_right_that_is_taken_away_is_named_in_the_jobs_status_and_given_back_cures_it(
    lonely: Place, start: Start
) -> None:
    access = client.RbacAuthorizationV1Api(lonely.api)
    operator = start()
    role = access.read_namespaced_role("ultrathink-operator", lonely.namespace)
    rules = role.rules
    role.rules = [rule for rule in rules if "networkpolicies" not in rule.resources]
    role = access.replace_namespaced_role("ultrathink-operator", lonely.namespace, role)
    lonely.submit("poor")
    eventually(lambda: lonely.status("poor").get("reason") == "OperatorMisconfigured", says=operator.said)
    assert "may not create networkpolicies" in lonely.status("poor")["message"]
    role.rules = rules
    access.replace_namespaced_role("ultrathink-operator", lonely.namespace, role)
    eventually(lambda: lonely.sets() == ["poor-1-head", "poor-1-worker"], says=operator.said)


def test_many_jobs_that_come_together_share_few_connections(lonely: Place, start: Start) -> None:
    jobs = [f"crowd-{n}" for n in range(3 * AT_ONCE)]
    for name in jobs:
        lonely.submit(name, suspend=True)
    operator, most = start(), 0

    def told() -> bool:
        nonlocal most
        most = max(most, operator.sockets())
        return all(lonely.status(name).get("phase") == "Suspended" for name in (jobs[0], jobs[-1]))

    eventually(told, says=operator.said)
    assert most < AT_ONCE + OTHERS
