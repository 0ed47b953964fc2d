"""The chart's admission policies on a real API server: what neither a job's author nor a stolen token can take."""

import copy
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "ultrathink"
AUTHOR = "author@example.com"
DEADLINE_S = 60.0
Object = dict[str, Any]


class Asked:
    """What the API server answered."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        self.ok = done.returncode == 0
        self.said = done.stdout + done.stderr


class Guarded:
    """A namespace under all policies, in which anybody can be impersonated."""

    def __init__(self, kubectl: Path, kubeconfig: Path, namespace: str, release: str) -> None:
        self.namespace, self.release = namespace, release
        self._kubectl, self._kubeconfig = kubectl, kubeconfig
        self.operator = f"system:serviceaccount:{namespace}:{release}-operator"

    def __call__(self, *words: str, stdin: str | None = None, by: str = "") -> Asked:
        who = [f"--as={by}"] if by else []
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        command = [str(self._kubectl), *words, *who]
        return Asked(subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=environment))

    def must(self, *words: str, stdin: str | None = None, by: str = "") -> str:
        asked = self(*words, stdin=stdin, by=by)
        assert asked.ok, asked.said
        return asked.said

    def create(self, thing: Object, by: str) -> Asked:
        """Nothing is kept of it."""
        return self("create", "--dry-run=server", "-n", self.namespace, "-f", "-", stdin=json.dumps(thing), by=by)


@pytest.fixture(scope="module")
def guarded(control_plane: "ControlPlane") -> Iterator[Guarded]:
    from testbed.binaries import binary
    from testbed.crds import install
    from testbed.needs import require
    from ultrathink_api.crd import crds

    helm, kubectl = require(lambda: binary("helm")), require(lambda: binary("kubectl"))
    with control_plane.api_client() as api:
        install(api, crds())
    name = uuid.uuid4().hex[:8]
    place = Guarded(kubectl, control_plane.kubeconfig, control_plane.new_namespace(f"test-{name}"), f"r-{name}")
    chosen = (
        "rbac.userRoles=true",
        "crds.install=false",
        "runtime.storage.secretName=s3",
        "admission.secrets={team-s3}",
    )
    settings = [part for setting in chosen for part in ("--set", setting)]
    render = [str(helm), "template", place.release, str(CHART), "--namespace", place.namespace, *settings]
    shown = [part for file in ("admission", "rbac", "userroles") for part in ("--show-only", f"templates/{file}.yaml")]
    made = subprocess.run([*render, *shown], capture_output=True, text=True, check=True).stdout
    place.must("apply", "-f", "-", stdin=made)
    place.must("apply", "-n", place.namespace, "-f", "-", stdin=yaml.safe_dump_all(people(place)))
    effective(place)
    yield place
    place.must("delete", "-f", "-", stdin=made)


def people(place: Guarded) -> list[Object]:
    """A job's author as Kubernetes' own role `edit` makes one, who may use one runtime."""
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    subjects = [{"kind": "User", "name": AUTHOR, "apiGroup": "rbac.authorization.k8s.io"}]
    use = {
        "apiGroups": ["ultrathink.io"],
        "resources": ["ultrathinkruntimes"],
        "resourceNames": ["allowed"],
        "verbs": ["use"],
    }
    return [
        {**rbac, "kind": "Role", "metadata": {"name": "use-allowed"}, "rules": [use]},
        # No controller is here to add these to Kubernetes' own roles, of which `edit` holds `view`.
        *(
            binding(
                f"author-{role}", {"kind": "ClusterRole", "name": f"{place.namespace}-{place.release}-{role}"}, subjects
            )
            for role in ("view", "edit")
        ),
        binding("author-uses", {"kind": "Role", "name": "use-allowed"}, subjects),
    ]


def binding(name: str, role: Object, subjects: list[Object]) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", **role},
        "subjects": subjects,
    }


def effective(place: Guarded) -> None:
    """The API server takes a policy up some time after it was stored."""
    deadline = time.monotonic() + DEADLINE_S
    forged = {**a_job(), "metadata": {"name": "forged", "annotations": {"ultrathink.io/submitted-by": "nobody"}}}
    wrong = ((a_set(place, hostNetwork=True), place.operator), (a_job("no"), AUTHOR), (forged, AUTHOR))
    while any(place.create(thing, by).ok for thing, by in wrong):
        assert time.monotonic() < deadline, "the policies did not take effect"
        time.sleep(0.1)


def a_job(runtime: str | None = None) -> Object:
    job: Object = yaml.safe_load((ROOT / "manifests" / "examples" / "quickstart.yaml").read_text())
    if runtime:
        job["spec"]["runtime"] = runtime
    return job


def a_set(place: Guarded, **pod: Any) -> Object:
    """What the operator makes of the quickstart job, with something in its pods that no job needs."""
    from ultrathink_api.job import UltraThinkJob
    from ultrathink_api.runtime import RuntimeSpec
    from ultrathink_operator.observe import House
    from ultrathink_operator.render import native
    from ultrathink_operator.render.order import Order
    from ultrathink_planner import plan

    job = UltraThinkJob.model_validate({**a_job(), "status": None})
    runtime = RuntimeSpec.model_validate({"image": "trainer:1", "storage": {"uri": "s3://runs", "secretName": "s3"}})
    order = Order(
        job=job.metadata.name,
        uid=str(uuid.uuid4()),
        namespace=place.namespace,
        generation=1,
        number=1,
        spec=job.spec,
        runtime=runtime,
        plan=plan(job.spec),
        house=House(place.namespace, runtime),
    )
    made: Object = copy.deepcopy(dict(native.sets(order)[1]))
    spec = made["spec"]["template"]["spec"]
    spec.update({**pod, "volumes": [*spec["volumes"], *pod.get("volumes", [])]})
    return made


def container(place: Guarded, **change: Any) -> Object:
    """The pod's only container with something changed in it."""
    made = a_set(place)["spec"]["template"]["spec"]["containers"][0]
    made.pop("readinessProbe")  # an init container has none
    security = {**made["securityContext"], **change.pop("securityContext", {})}
    return {**made, "securityContext": {k: v for k, v in security.items() if v is not None}, **change}


@pytest.mark.fault("N08")
def test_a_runtime_is_used_by_those_who_may_use_it(guarded: Guarded) -> None:
    assert guarded.create(a_job(), AUTHOR).ok, "the default runtime is everybody's"
    assert guarded.create(a_job("allowed"), AUTHOR).ok
    refused = guarded.create(a_job("secret"), AUTHOR)
    assert not refused.ok
    for word in ("UTK0160", "spec.runtime", AUTHOR, "runtime secret", "verb use", guarded.namespace):
        assert word in refused.said, refused.said


def test_a_job_cannot_change_over_to_a_runtime_either_and_keeps_the_one_it_has(guarded: Guarded) -> None:
    where = ("-n", guarded.namespace)
    job = {**a_job("secret"), "metadata": {"name": "held"}}
    guarded.must("create", *where, "-f", "-", stdin=json.dumps(job))
    patch = ("patch", *where, "--type=merge", "utj", "held", "-p")
    assert guarded(*patch, '{"spec": {"checkpoint": {"graceSeconds": 90}}}', by=AUTHOR).ok
    assert guarded(*patch, '{"spec": {"runtime": "allowed"}}', by=AUTHOR).ok
    assert "UTK0160" in guarded(*patch, '{"spec": {"runtime": "other"}}', by=AUTHOR).said
    finalizer = '{"metadata": {"finalizers": ["ultrathink.io/graceful"]}}'
    assert guarded(*patch, finalizer, by=guarded.operator).ok, "the operator names no runtime itself"
    guarded.must(*patch, '{"metadata": {"finalizers": []}}')
    guarded.must("delete", *where, "utj", "held")


def test_a_job_names_who_made_it_or_nobody_and_that_stays(guarded: Guarded) -> None:
    def by(who: str, name: str = "named") -> Object:
        return {**a_job(), "metadata": {"name": name, "annotations": {"ultrathink.io/submitted-by": who}}}

    forged = guarded.create(by("boss@example.com"), AUTHOR)
    for word in ("UTK0161", "boss@example.com", AUTHOR):
        assert word in forged.said, forged.said
    where = ("-n", guarded.namespace)
    guarded.must("create", *where, "-f", "-", stdin=json.dumps(by(AUTHOR)), by=AUTHOR)
    patch = ("patch", *where, "--type=merge", "utj", "named", "-p")
    assert guarded(*patch, '{"spec": {"checkpoint": {"graceSeconds": 90}}}').ok, "another user may change the job"
    for other in ('"boss@example.com"', "null"):
        change = f'{{"metadata": {{"annotations": {{"ultrathink.io/submitted-by": {other}}}}}}}'
        for who in (AUTHOR, guarded.operator, ""):
            assert "UTK0161" in guarded(*patch, change, by=who).said
    guarded.must("delete", *where, "utj", "named")


@pytest.mark.fault("N15", "N24")
def test_an_author_writes_jobs_and_neither_runtimes_nor_status(guarded: Guarded) -> None:
    def may(verb: str, resource: str, *more: str) -> bool:
        return guarded("auth", "can-i", verb, resource, *more, "-n", guarded.namespace, by=AUTHOR).said.startswith(
            "yes"
        )

    assert may("create", "ultrathinkjobs") and may("patch", "ultrathinkjobs", "--subresource=scale")
    assert may("use", "ultrathinkruntimes/allowed") and not may("use", "ultrathinkruntimes")
    for verb in ("create", "update", "patch", "delete"):
        assert not may(verb, "ultrathinkruntimes"), verb
    assert not may("patch", "ultrathinkjobs", "--subresource=status")
    assert not may("get", "secrets")


def test_what_the_operator_makes_of_a_job_passes(guarded: Guarded) -> None:
    made = guarded.create(a_set(guarded), guarded.operator)
    assert made.ok, made.said


STOLEN = {
    "the host's network": {"hostNetwork": True},
    "the host's processes": {"hostPID": True},
    "the host's memory": {"hostIPC": True},
    "a folder of the host": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    "a token, projected": {
        "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
    },
    "a token, mounted": {"automountServiceAccountToken": True},
    "root": {"securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}},
    "root in spite of itself": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    },
    "no seccomp": {"securityContext": {"runAsNonRoot": True}},
    "a sysctl": {
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
        }
    },
    "a Secret of others, projected": {
        "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "theirs"}}]}}]
    },
    "a Secret of others to pull with": {"imagePullSecrets": [{"name": "theirs"}]},
}
IN_CONTAINER: dict[str, Object] = {
    "privilege": {"securityContext": {"privileged": True, "allowPrivilegeEscalation": None}},
    "escalation": {"securityContext": {"allowPrivilegeEscalation": True}},
    "a root that can be written": {"securityContext": {"readOnlyRootFilesystem": False}},
    "a capability": {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}},
    "the capabilities of Docker": {"securityContext": {"capabilities": None}},
    "root": {"securityContext": {"runAsUser": 0}},
    "an unmasked /proc": {"securityContext": {"procMount": "Unmasked"}},
    "a port of the host": {"ports": [{"containerPort": 80, "hostPort": 80}]},
    "no seccomp of its own": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "a seccomp profile of its own": {
        "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "mine.json"}}
    },
    "a Secret's key in its environment": {
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "key"}}}]
    },
    "a Secret as its environment": {"envFrom": [{"secretRef": {"name": "theirs"}}]},
}


@pytest.mark.fault("N03", "N04", "N05", "N06", "N07")
@pytest.mark.parametrize("what", STOLEN)
def test_a_stolen_token_makes_no_pod_with(guarded: Guarded, what: str) -> None:
    refused = guarded.create(a_set(guarded, **STOLEN[what]), guarded.operator)
    assert not refused.ok and "UTK0540" in refused.said, refused.said


@pytest.mark.fault("N01", "N02", "N06", "N07", "N11")
@pytest.mark.parametrize("part", ["containers", "initContainers"])
@pytest.mark.parametrize("what", IN_CONTAINER)
def test_a_stolen_token_makes_no_container_with(guarded: Guarded, what: str, part: str) -> None:
    change = {part: [{**container(guarded, **IN_CONTAINER[what]), "name": "mine"}]}
    # Without a user namespace Kubernetes itself would refuse some of it.
    refused = guarded.create(a_set(guarded, hostUsers=False, **change), guarded.operator)
    assert not refused.ok and "UTK0540" in refused.said, refused.said


def mounting(place: Guarded, secret: str, uid: str | None = None) -> Object:
    """A set whose pods mount this Secret in place of their job's tokens; {uid} is what the job's label says."""
    made = a_set(place)
    labels, pod = made["metadata"]["labels"], made["spec"]["template"]["spec"]
    labels["ultrathink.io/job-uid"] = uid or labels["ultrathink.io/job-uid"]
    tokens = next(volume for volume in pod["volumes"] if volume["name"] == "tokens")
    tokens["secret"]["secretName"] = secret.format(uid=labels["ultrathink.io/job-uid"])
    return made


@pytest.mark.parametrize("secret", ["team-s3", "s3", "other-1-{uid}"])
def test_pods_mount_secrets_of_their_job_of_the_charts_runtime_and_of_the_list(guarded: Guarded, secret: str) -> None:
    made = guarded.create(mounting(guarded, secret), guarded.operator)
    assert made.ok, made.said


@pytest.mark.fault("N03")
@pytest.mark.parametrize(
    ("secret", "uid"),
    [
        ("theirs", None),
        ("{uid}-theirs", None),
        ("database-password", "password"),
        ("theirs", "theirs"),
        ("{uid}", "123e4567-e89b-12d3-a456-426614174000"),
    ],
)
def test_a_stolen_token_mounts_no_secret_of_others(guarded: Guarded, secret: str, uid: str | None) -> None:
    refused = guarded.create(mounting(guarded, secret, uid), guarded.operator)
    assert not refused.ok, refused.said
    assert "UTK0540" in refused.said and "admission.secrets" in refused.said, refused.said


@pytest.mark.fault("N08")
def test_a_stolen_token_lends_nobody_the_operators_own_account(guarded: Guarded) -> None:
    assert guarded.create(a_set(guarded, serviceAccountName="trainer"), guarded.operator).ok
    own = a_set(guarded, serviceAccountName=f"{guarded.release}-operator")
    assert "UTK0540" in guarded.create(own, guarded.operator).said


def test_a_stolen_token_makes_no_secret_that_kubernetes_would_fill(guarded: Guarded) -> None:
    labels = a_set(guarded)["metadata"]["labels"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "labels": labels}}
    assert guarded.create({**secret, "type": "Opaque"}, guarded.operator).ok
    token = {**secret, "type": "kubernetes.io/service-account-token"}
    token["metadata"] = {**secret["metadata"], "annotations": {"kubernetes.io/service-account.name": "default"}}
    assert "UTK0540" in guarded.create(token, guarded.operator).said


@pytest.mark.fault("N29")
@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort", "ExternalName"])
def test_a_stolen_token_opens_no_door_to_the_outside(guarded: Guarded, kind: str) -> None:
    spec: Object = {"type": kind, "ports": [{"port": 80}], "externalName": "example.com"}
    if kind != "ExternalName":
        del spec["externalName"]
    made = a_set(guarded)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": made["metadata"]["labels"]}}
    assert "UTK0540" in guarded.create({**service, "spec": spec}, guarded.operator).said


def test_a_set_that_is_there_is_not_changed_to_read_secrets_but_kept_off_nodes(guarded: Guarded) -> None:
    from ultrathink_operator.observe import keeping_off

    made = a_set(guarded)
    where = ("-n", guarded.namespace)
    guarded.must("create", *where, "-f", "-", stdin=json.dumps(made), by=guarded.operator)
    variable = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "key"}}}
    containers = [{"name": "trainer", "env": [variable]}]
    patch = json.dumps({"spec": {"template": {"spec": {"containers": containers}}}})
    refused = guarded("patch", *where, "sts", made["metadata"]["name"], "-p", patch, by=guarded.operator)
    assert "UTK0540" in refused.said, refused.said
    avoiding = json.dumps({"spec": {"template": {"spec": {"affinity": keeping_off(["gpu-1"])}}}})
    guarded.must("patch", *where, "sts", made["metadata"]["name"], "-p", avoiding, by=guarded.operator)
    guarded.must("delete", *where, "sts", made["metadata"]["name"])


def test_a_stolen_token_takes_nothing_away_that_is_not_a_jobs(guarded: Guarded) -> None:
    where = ("-n", guarded.namespace)
    for name, label in (("theirs", "app=theirs"), ("ours", "ultrathink.io/job-uid=1")):
        guarded.must("create", *where, "configmap", name)
        guarded.must("label", *where, "configmap", name, label)
    assert "UTK0540" in guarded("delete", *where, "configmap", "theirs", by=guarded.operator).said
    assert guarded("delete", *where, "configmap", "ours", by=guarded.operator).ok
