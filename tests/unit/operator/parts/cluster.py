"""A Kubernetes small enough to hold in a hand: it stores objects, keeps StatefulSets' pods, and plays supervisors.

It is no stand-in for an API server (the integration tests have a real one); it is the world that decide() is shown,
so that whole histories can be run in milliseconds and at random.
"""

import copy
import json
from dataclasses import dataclass, field, replace
from typing import Any

from ultrathink_api import names
from ultrathink_api.protocol import OutcomeView, Progress, StopView
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_api.status import AttemptStatus, JobStatus, ProgressStatus, RestartsStatus
from ultrathink_operator import actions as do
from ultrathink_operator.decide import Decision, decide
from ultrathink_operator.observe import (
    NUDGED_ANNOTATION,
    Explanation,
    House,
    Observed,
    Supervisor,
    Trouble,
    Words,
    avoided_in,
    job_view,
    keeping_off,
    pod_view,
    runtime_view,
    service_view,
    set_view,
)
from ultrathink_operator.policies import nodes
from ultrathink_operator.policies.writing import timestamp

HOUSE = House(
    namespace="ultrathink-system",
    defaults=RuntimeSpec.model_validate({"image": "registry.example/trainer:1", "storage": {"uri": "s3://runs"}}),
    denied_ranges=("10.0.0.0/8",),
)
SPEC: dict[str, Any] = {
    "model": {"preset": "moe-tiny"},
    "data": {"uri": "builtin://stories"},
    "training": {"steps": 200},
    "workers": {"count": 2},
}
START = 1_800_000_000.0
MANY_PASSES = 40

IN_PLACE = ("restart", "health", "resume", "suspend", "cancel", "restartedAt", "deadlines", "cleanup")
"""What a supervisor takes over in place."""

Raw = dict[str, Any]


@dataclass
class Cluster:
    """One job and everything around it."""

    spec: Raw = field(default_factory=lambda: copy.deepcopy(SPEC))
    house: House = HOUSE
    now: float = START
    objects: dict[tuple[str, str], Raw] = field(default_factory=dict)
    runtimes: list[Raw] = field(default_factory=list)
    supervisor: Supervisor | None = None
    explanations: tuple[Explanation, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    elder: str = ""
    synced: bool = True
    written_at: float | None = None
    log: list[Any] = field(default_factory=list)
    saved_step: int = 0
    attempt: int = 0
    made_for: dict[int, Raw] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._count = 0
        self.job: Raw | None = self._stamped(
            {"metadata": {"name": "q", "namespace": "team"}, "spec": self.spec, "status": {}}, "job-uid"
        )
        self.job["metadata"]["generation"] = 1

    # What is seen and decided

    def seen(self) -> Observed:
        assert self.job is not None
        return Observed(
            job=job_view(copy.deepcopy(self.job)),
            house=self.house,
            runtimes=tuple(runtime_view(raw) for raw in self.runtimes),
            sets=tuple(set_view(raw) for raw in self._of("StatefulSet")),
            services=tuple(service_view(raw) for raw in self._of("Service")),
            pods=tuple(pod_view(raw) for raw in self._of("Pod")),
            explanations=self.explanations,
            supervisor=self.supervisor,
            troubles=self.troubles,
            written_at=self.written_at,
            elder=self.elder,
            synced=self.synced,
        )

    def decide(self) -> Decision:
        return decide(self.seen(), self.now)

    def step(self, actions: int | None = None) -> Decision:
        """One pass of an operator, which dies after so many of its actions if told so."""
        decision = self.decide()
        self.log.append(decision)
        for action in decision.actions[:actions]:
            self.act(action)
        if actions is None and decision.status is not None and self.job is not None:
            self.job["status"] = json.loads(json.dumps(decision.status.dump()))
            self._touch(self.job)
            self.written_at = self.now
        self.controllers()
        return decision

    def settle(self) -> None:
        """Passes until nothing is left to do at this moment."""
        for _ in range(MANY_PASSES):
            if self.job is None:
                return
            decision = self.step()
            if decision.status is None and not [a for a in decision.actions if not isinstance(a, _IDLE)]:
                return
        raise AssertionError(f"no end of it: {self.log[-1]}")

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.settle()

    @property
    def status(self) -> JobStatus:
        assert self.job is not None
        return JobStatus.model_validate(self.job["status"])

    def condition(self, kind: Any) -> tuple[str, str]:
        found = self.status.condition(kind)
        return (found.status, found.reason) if found else ("", "")

    def names(self, kind: str) -> list[str]:
        return sorted(name for k, name in self.objects if k == kind)

    def pod(self, name: str) -> Raw:
        return self.objects["Pod", name]

    # What happens in the world

    def run_pods(self) -> None:
        """All pods get a node, start and answer; a new head has an empty supervisor."""
        for raw in self._of("Pod"):
            if raw["status"].get("phase") != "Running" and "deletionTimestamp" not in raw["metadata"]:
                self.set_pod(raw["metadata"]["name"], phase="Running", ready="True")

    def set_pod(self, name: str, phase: str, ready: str, **more: Any) -> None:
        raw, since = self.pod(name), timestamp(self.now)
        kinds = ("Ready", "ContainersReady")
        raw["status"] = {
            "phase": phase,
            "podIP": "10.1.1.1" if phase == "Running" else "",
            "conditions": [{"type": kind, "status": ready, "lastTransitionTime": since} for kind in kinds],
            **more,
        }
        self._touch(raw)

    def supervise(self, state: str = "running", step: int | None = None, **more: Any) -> None:
        """The head says how far it is. A supervisor that is new takes the next attempt."""
        head = self.seen().head_of(self.seen().number)
        assert head is not None and self.job is not None
        number = self.seen().number
        if self.supervisor is None or self.supervisor.pod_uid != head.meta.uid or self.supervisor.progress is None:
            self.attempt += 1
        known = self.supervisor.progress if self.supervisor else None
        same = known if known and known.cluster == number and known.incarnation == head.meta.uid else None
        at = step if step is not None else (known.progress.step if known and known.progress else self.saved_step)
        said = Progress(
            uid=self.job["metadata"]["uid"],
            cluster=number,
            generation=same.generation if same else self.job["metadata"]["generation"],
            stop=same.stop if same else None,
            incarnation=head.meta.uid,
            state=state,
            attempt=AttemptStatus(number=self.attempt, cluster=number),
            progress=ProgressStatus(step=at, of=200, percent=f"{at // 2}%", seen_at=timestamp(self.now)),
            restarts=RestartsStatus(counted=self.attempt - 1),
        ).model_copy(update=more)
        self.supervisor = Supervisor(pod_uid=head.meta.uid, asked_since=self.now, progress=said, answered_at=self.now)

    def end(self, phase: Any = "Succeeded", reason: str = "Completed", **more: Any) -> None:
        outcome = OutcomeView(phase=phase, reason=reason, step=200, attempts=self.attempt, **more)
        self.supervise("ended", 200, outcome=outcome)

    def silence(self) -> None:
        """The supervisor answers no more; the questions go on."""
        assert self.supervisor is not None
        self.supervisor = replace(self.supervisor, error="ClientConnectorError: refused")

    def delete_job(self) -> None:
        assert self.job is not None
        self.job["metadata"]["deletionTimestamp"] = timestamp(self.now)
        self.job["metadata"]["generation"] += 1
        self._touch(self.job)
        self.controllers()

    def change_spec(self, **changes: Any) -> None:
        assert self.job is not None
        self.job["spec"] = {**self.job["spec"], **changes}
        self.job["metadata"]["generation"] += 1
        self._touch(self.job)

    def lose(self, kind: str, name: str) -> None:
        """Somebody, or a node's end, takes an object away."""
        del self.objects[kind, name]
        self.controllers()

    def explain(self, kind: str, name: str, reason: str, message: str) -> None:
        uid = self.objects[kind, name]["metadata"]["uid"]
        self.explanations += (Explanation(uid, Words(reason, message), self.now),)

    # What the API server and its controllers do

    def act(self, action: do.Action) -> None:
        """Carry out an action, and hold it to what an action may be: on what exists, and ours."""
        if self.job is None:
            return
        meta = self.job["metadata"]
        match action:
            case do.Hold():
                meta["finalizers"] = [names.FINALIZER]
            case do.Release():
                meta["finalizers"] = []
            case do.Create(manifest):
                assert manifest["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]
                key = manifest["kind"], manifest["metadata"]["name"]
                self.made_for.setdefault(self.seen().number, lasting(self.job["spec"]))
                if key not in self.objects:
                    self.objects[key] = self._stamped(copy.deepcopy(dict(manifest)))
            case do.CreateTokens(number):
                name = names.tokens_secret(meta["name"], number, meta["uid"])
                self.objects.setdefault(("Secret", name), self._stamped({"metadata": {"name": name}}))
            case do.Delete(kind, name, uid):
                found = self.objects.get((kind, name))
                if found and found["metadata"]["uid"] == uid:
                    assert found["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]
                    del self.objects[kind, name]
            case do.DeleteRest(number):
                for kind in ("ConfigMap", "NetworkPolicy", "PodDisruptionBudget"):
                    self.objects.pop((kind, names.cluster(meta["name"], number)), None)
            case do.Scale(name, uid, _, replicas, avoided):
                found = self.objects["StatefulSet", name]
                assert found["metadata"]["uid"] == uid
                found["spec"]["replicas"] = replicas
                found["spec"]["template"]["spec"]["affinity"] = keeping_off(avoided) if avoided else {}
            case do.Move(name, uid):
                assert self.objects["Pod", name]["metadata"]["uid"] == uid
                del self.objects["Pod", name]
            case do.Nudge(name, uid, _, replicas, at, avoided):
                found = self.objects["StatefulSet", name]
                assert found["metadata"]["uid"] == uid and found["spec"]["replicas"] == replicas
                assert avoided == avoided_in(found["spec"]["template"]["spec"])
                found["metadata"].setdefault("annotations", {})[NUDGED_ANNOTATION] = at
            case do.ForceDelete(name, uid):
                pod = self.objects["Pod", name]
                assert pod["metadata"]["uid"] == uid
                lost_at = nodes.lost_at(pod_view(pod))
                assert lost_at is not None and lost_at <= self.now
                del self.objects["Pod", name]
            case do.Stop(_, deletes):
                if self.supervisor and self.supervisor.progress and not self.supervisor.error:
                    before = self.supervisor.progress.stop or StopView(reason="Suspended", confirmed=False)
                    more = deletes and not before.delete_checkpoints
                    stop = (
                        before.model_copy(update={"confirmed": False, "delete_checkpoints": True}) if more else before
                    )
                    said = self.supervisor.progress.model_copy(update={"stop": stop, "state": "stopping"})
                    self.supervisor = replace(self.supervisor, progress=said)
            case do.SendSpec(generation, spec):
                if self.supervisor and self.supervisor.progress and not self.supervisor.error:
                    if lasting(json.loads(spec)) != self.made_for[self.supervisor.progress.cluster]:
                        self.supervisor = replace(self.supervisor, needs_cluster=generation)
                        return
                    said = self.supervisor.progress.model_copy(update={"generation": generation})
                    self.supervisor = replace(self.supervisor, progress=said)

    def confirm_stop(self, step: int) -> None:
        assert self.supervisor and self.supervisor.progress
        before = self.supervisor.progress.stop
        deletes = before is not None and before.delete_checkpoints
        stop = StopView(reason="Suspended", confirmed=True, step=step, delete_checkpoints=deletes)
        said = self.supervisor.progress.model_copy(update={"stop": stop, "state": "stopped"})
        self.supervisor = replace(self.supervisor, progress=said, answered_at=self.now, error="")
        self.saved_step = step

    def controllers(self) -> None:
        """StatefulSets get their pods, orphans go, a job that nobody holds goes with all it owns."""
        if self.job and "deletionTimestamp" in self.job["metadata"] and not self.job["metadata"].get("finalizers"):
            self.job, self.objects = None, {}
            return
        sets = {raw["metadata"]["uid"]: raw for raw in self._of("StatefulSet")}
        for key, raw in list(self.objects.items()):
            if key[0] == "Pod" and raw["metadata"]["ownerReferences"][0]["uid"] not in sets:
                del self.objects[key]
        for raw in sets.values():
            for key in [k for k, pod in self.objects.items() if k[0] == "Pod" and _surplus(pod, k[1], raw)]:
                del self.objects[key]
            for index in range(raw["spec"]["replicas"]):
                key = "Pod", f"{raw['metadata']['name']}-{index}"
                if key not in self.objects:
                    self.objects[key] = self._pod(raw, key[1])
            raw["status"] = {"replicas": raw["spec"]["replicas"]}
        head = self.seen().head_of(self.seen().number) if self.job else None
        if self.supervisor and (head is None or head.meta.uid != self.supervisor.pod_uid):
            self.supervisor = None

    def _pod(self, owner: Raw, name: str) -> Raw:
        template = copy.deepcopy(owner["spec"]["template"])
        reference = {"kind": "StatefulSet", "uid": owner["metadata"]["uid"], "controller": True}
        metadata = {"name": name, **template["metadata"], "ownerReferences": [reference]}
        return self._stamped({"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}})

    def _of(self, kind: str) -> list[Raw]:
        return [raw for (k, _), raw in sorted(self.objects.items()) if k == kind]

    def _stamped(self, raw: Raw, uid: str = "") -> Raw:
        self._touch(raw)
        raw["metadata"] |= {
            "uid": uid or f"uid-{self._count}",
            "namespace": "team",
            "creationTimestamp": timestamp(self.now),
        }
        return raw

    def _touch(self, raw: Raw) -> None:
        self._count += 1
        raw["metadata"]["resourceVersion"] = str(self._count)


def _surplus(pod: Raw, name: str, owner: Raw) -> bool:
    """A pod that its set has no replica for any more."""
    ours = pod["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
    return ours and int(name.rpartition("-")[2]) >= owner["spec"]["replicas"]


_IDLE = (do.Explain, do.Stop, do.SendSpec)


def lasting(spec: Raw) -> Raw:
    """What of a spec a supervisor cannot take over in place."""
    return {name: value for name, value in spec.items() if name not in IN_PLACE}


def running(step: int = 50, **spec: Any) -> Cluster:
    """A job in full swing."""
    cluster = Cluster(spec={**copy.deepcopy(SPEC), **spec})
    cluster.settle()
    cluster.run_pods()
    cluster.supervise("running", step)
    cluster.settle()
    assert cluster.status.phase == "Running", cluster.status
    return cluster
