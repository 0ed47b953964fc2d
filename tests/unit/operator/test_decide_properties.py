"""What decide() promises whatever the world looks like, tried on random histories."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_api.status import TERMINAL, Phase
from ultrathink_operator import actions as do
from ultrathink_operator.decide import decide
from ultrathink_operator.observe import Observed
from unit.operator.parts.cluster import Cluster, running

EVENTS = (
    "run_pods",
    "train",
    "attempt",
    "stale_attempt",
    "silence",
    "lose_head_pod",
    "lose_worker_pod",
    "lose_set",
    "lose_service",
    "stick_worker",
    "scale",
    "wait",
    "forget",
    "half_a_pass",
    "unsync",
    "older_cluster",
    "suspend",
    "resume",
    "confirm",
    "end",
    "delete",
)
WAVERING = (
    "run_pods",
    "train",
    "wait",
    "lose_worker_pod",
    "half_a_pass",
    "restart",
    "suspend",
    "resume",
    "change",
    "revert",
    "refused_change",
    "confirm",
)
GENTLE = tuple(e for e in EVENTS if e not in ("end", "delete", "unsync"))


class History:
    """Lets things happen to a job, in any order that chance or hypothesis finds."""

    def __init__(self, cluster: Cluster | None = None) -> None:
        self.cluster = cluster or Cluster()
        self.numbers: list[int] = []
        self.attempts: list[int] = []
        self.ended: str | None = None

    def happen(self, event: str) -> None:
        if self.cluster.job is not None:
            getattr(self, f"_{event}")()
            self.cluster.controllers()
        self.look()

    def look(self) -> None:
        """One pass, and all that must hold around it."""
        cluster = self.cluster
        if cluster.job is None:
            return
        seen = cluster.seen()
        decision = decide(seen, cluster.now)
        assert decision == decide(seen, cluster.now), "deterministic"
        acts_on_what_is_there(seen, decision.actions)
        assert seen.synced or not decision.actions
        cluster.step()
        if cluster.job is None:
            return
        status = cluster.status
        self.numbers.append(status.cluster.number if status.cluster else 0)
        self.attempts.append(status.attempt.number if status.attempt else 0)
        assert self.numbers == sorted(self.numbers), "cluster numbers never decrease"
        assert self.attempts == sorted(self.attempts), "attempts never decrease"
        if self.ended:
            assert status.phase == self.ended, "an end is an end"
        elif status.phase in TERMINAL:
            self.ended = status.phase

    def _run_pods(self) -> None:
        self.cluster.run_pods()

    def _head_runs(self) -> bool:
        seen = self.cluster.seen()
        head = seen.head_of(seen.number)
        return head is not None and head.phase == "Running"

    def _train(self) -> None:
        if self._head_runs():
            self.cluster.supervise("running", random.randrange(200))

    def _attempt(self) -> None:
        if self._head_runs():
            self.cluster.attempt += 1
            self.cluster.supervise("recovering")

    def _stale_attempt(self) -> None:
        """An answer that was long on its way."""
        if self._head_runs() and self.cluster.attempt > 1:
            self.cluster.supervise("running", 1)
            newest, self.cluster.attempt = self.cluster.attempt, self.cluster.attempt - 1
            self.cluster.supervise("running", 199)
            self.cluster.attempt = newest

    def _silence(self) -> None:
        if self.cluster.supervisor:
            self.cluster.silence()

    def _lose(self, kind: str, role: str) -> None:
        found = [name for name in self.cluster.names(kind) if role in name]
        if found:
            self.cluster.lose(kind, found[-1])

    def _lose_head_pod(self) -> None:
        self._lose("Pod", "head")

    def _lose_worker_pod(self) -> None:
        self._lose("Pod", "worker")

    def _lose_set(self) -> None:
        self._lose("StatefulSet", "worker")

    def _lose_service(self) -> None:
        self._lose("Service", "q")

    def _stick_worker(self) -> None:
        """The node of a worker is gone, and its pod stays."""
        found = [name for name in self.cluster.names("Pod") if "worker" in name]
        if found:
            pod = self.cluster.pod(found[0])
            pod["metadata"] |= {"deletionTimestamp": "2027-01-15T08:00:30Z", "deletionGracePeriodSeconds": 30}
            self.cluster.set_pod(found[0], "Running", "False")

    def _scale(self) -> None:
        found = [name for name in self.cluster.names("StatefulSet") if "worker" in name]
        if found:
            self.cluster.objects["StatefulSet", found[0]]["spec"]["replicas"] = 7

    def _wait(self) -> None:
        self.cluster.now += 40

    def _forget(self) -> None:
        """The operator starts again: what it held in memory is gone."""
        self.cluster.supervisor, self.cluster.explanations, self.cluster.synced = None, (), True
        self.cluster.written_at = None

    def _half_a_pass(self) -> None:
        """The operator dies in the middle of its writes."""
        self.cluster.step(actions=random.randrange(8))

    def _unsync(self) -> None:
        self.cluster.synced = False

    def _older_cluster(self) -> None:
        """Something of a lower number turns up: the late write of an operator that leads no longer."""
        number = self.cluster.seen().number
        name = f"q-{number - 1}-head"
        current = self.cluster.objects.get(("StatefulSet", f"q-{number}-head"))
        if number > 1 and current is not None and ("StatefulSet", name) not in self.cluster.objects:
            labels = {**current["metadata"]["labels"], "ultrathink.io/cluster": str(number - 1)}
            metadata = {**current["metadata"], "labels": labels, "name": name, "uid": f"late-{number}"}
            self.cluster.objects["StatefulSet", name] = {**current, "metadata": metadata}

    def _suspend(self) -> None:
        self.cluster.change_spec(suspend=True)

    def _resume(self) -> None:
        self.cluster.change_spec(suspend=False)

    def _restart(self) -> None:
        """The operator starts again, and the supervisor tells it what it told the one before."""
        self.cluster.written_at, self.cluster.explanations = None, ()
        if self.cluster.supervisor:
            self.cluster.supervisor = replace(self.cluster.supervisor, needs_cluster=0)

    def _change(self) -> None:
        self.cluster.change_spec(workers={"count": 4})

    def _refused_change(self) -> None:
        self.cluster.change_spec(workers={"count": 3})

    def _revert(self) -> None:
        self.cluster.change_spec(workers={"count": 2})

    def _confirm(self) -> None:
        if self.cluster.supervisor and self.cluster.supervisor.progress and self._head_runs():
            self.cluster.confirm_stop(step=50)

    def _end(self) -> None:
        if self._head_runs():
            self.cluster.end()

    def _delete(self) -> None:
        if self.cluster.job is not None and "deletionTimestamp" not in self.cluster.job["metadata"]:
            self.cluster.delete_job()


def acts_on_what_is_there(seen: Observed, actions: tuple[do.Action, ...]) -> None:
    """Nothing is deleted, scaled or forced that was not observed, labelled and owned by this job."""
    ours = {
        o.meta.uid: o.meta.name
        for o in (*seen.sets, *seen.services)
        if o.meta.owner == seen.job.meta.uid and o.meta.job_uid == seen.job.meta.uid
    }
    pods = {p.meta.uid: p.meta.name for p in seen.pods if p.meta.job_uid == seen.job.meta.uid}
    for action in actions:
        match action:
            case do.Delete(_, name, uid) | do.Scale(name, uid, _, _, _):
                assert ours.get(uid) == name
            case do.ForceDelete(name, uid) | do.Move(name, uid):
                assert pods.get(uid) == name
            case do.Create(manifest):
                assert manifest["metadata"]["labels"]["ultrathink.io/cluster"] == str(seen.number)


@given(st.lists(st.sampled_from(EVENTS), max_size=25))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_history_keeps_the_promises(events: list[str]) -> None:
    history = History()
    for event in events:
        history.happen(event)


@pytest.mark.parametrize("seed", range(60))
def test_a_job_that_was_kicked_about_still_gets_one_whole_cluster_and_ends(seed: int) -> None:
    """Converges: after any trouble the same final state, without a person."""
    random.seed(seed)
    history = History()
    for _ in range(random.randrange(5, 40)):
        history.happen(random.choice(GENTLE))
    cluster = history.cluster
    cluster.synced = True
    cluster.change_spec(suspend=False)
    cluster.now += 3600
    cluster.settle()
    cluster.run_pods()
    number = cluster.seen().number
    assert cluster.names("StatefulSet") == [f"q-{number}-head", f"q-{number}-worker"]
    cluster.supervise("running", 120)
    cluster.settle()
    assert cluster.status.phase == "Running"
    cluster.end()
    cluster.settle()
    cluster.wait(600)
    assert cluster.status.phase == "Succeeded"
    assert not cluster.names("Pod")


@given(st.lists(st.sampled_from(WAVERING), max_size=25), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_stopped_supervisor_is_never_forgotten(events: list[str], cancelled: bool) -> None:
    """Whatever its owner wanted meanwhile: the job rests, has ended, or goes on on another cluster."""
    history = History(running())
    for event in events:
        history.happen(event)
    cluster = history.cluster
    if cancelled:
        cluster.change_spec(cancel=True)
    asked = cluster.supervisor.progress.stop if cluster.supervisor and cluster.supervisor.progress else None
    before = cluster.seen().number
    if asked is None or not cluster.supervisor:
        return
    cluster.confirm_stop(step=50)
    cluster.settle()
    assert cluster.status.phase in (Phase.SUSPENDED, *TERMINAL) or cluster.seen().number > before


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(ANYTHING)
@settings(max_examples=100, deadline=None)
def test_any_spec_is_answered_and_never_with_an_error(spec: Any) -> None:
    """Total: what passes the API server today may be anything that a newer or older CRD let through."""
    cluster = Cluster()
    assert cluster.job is not None
    cluster.job["spec"] = spec if isinstance(spec, dict) else {"model": spec}
    cluster.step()
    assert cluster.status.phase == "Pending"
    assert cluster.condition("Valid") == ("False", "Invalid")


@given(st.dictionaries(st.sampled_from(["phase", "cluster", "conditions", "progress", "attempt"]), st.text(max_size=4)))
@settings(max_examples=50, deadline=None)
def test_a_forged_status_counts_as_none(forged: dict[str, Any]) -> None:
    cluster = Cluster()
    assert cluster.job is not None
    cluster.job["status"] = forged
    cluster.step()
    assert cluster.status.cluster is not None and cluster.status.cluster.number == 1
