"""A real API server agrees with the predicates, vector by vector, and says code and fix when it refuses."""

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes import client

from ultrathink_api import API_GROUP, API_VERSION
from ultrathink_api.crd import crds
from ultrathink_api.job import PLURAL
from ultrathink_api.rules import RULES, TRANSITIONS
from vectors.reading import Vector, changed, changes, label, vectors

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

SAID = {rule.code: rule.said for rule in RULES}


@pytest.fixture(scope="module")
def jobs(control_plane: "ControlPlane") -> Iterator[client.CustomObjectsApi]:
    from testbed.crds import install

    with control_plane.api_client() as api:
        install(api, crds())
        yield client.CustomObjectsApi(api)


def create(jobs: client.CustomObjectsApi, namespace: str, job: dict[str, Any], **options: Any) -> dict[str, Any]:
    return jobs.create_namespaced_custom_object(
        API_GROUP, API_VERSION, namespace, PLURAL, job, field_validation="Strict", **options
    )


@pytest.mark.parametrize("vector", vectors(), ids=label)
def test_the_api_server_agrees_with_the_vectors(jobs: client.CustomObjectsApi, namespace: str, vector: Vector) -> None:
    code, accepted, job = vector
    if accepted:
        assert create(jobs, namespace, job, dry_run="All")["spec"]
        return
    with pytest.raises(client.ApiException) as refused:
        create(jobs, namespace, job, dry_run="All")
    assert refused.value.status == 422
    assert SAID[code] in yaml.safe_load(refused.value.body)["message"]


@pytest.mark.parametrize(("code", "accepted", "given", "change"), changes())
def test_the_api_server_agrees_about_a_started_job(
    jobs: client.CustomObjectsApi,
    namespace: str,
    code: str,
    accepted: bool,
    given: dict[str, Any],
    change: dict[str, Any],
) -> None:
    where = (API_GROUP, API_VERSION, namespace, PLURAL, "vector")
    create(jobs, namespace, changed(given))
    started = {"status": {"startedAt": "2026-01-01T00:00:00Z"}}
    jobs.patch_namespaced_custom_object_status(*where, started, _content_type="application/merge-patch+json")
    patch = {"spec": changed(change)["spec"]}

    def apply() -> dict[str, Any]:
        return jobs.patch_namespaced_custom_object(*where, patch, _content_type="application/merge-patch+json")

    if accepted:
        assert apply()["metadata"]["generation"] >= 1
        return
    with pytest.raises(client.ApiException) as refused:
        apply()
    assert refused.value.status == 422
    assert any(rule.said in yaml.safe_load(refused.value.body)["message"] for rule in TRANSITIONS)
    assert code in yaml.safe_load(refused.value.body)["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workers.gpu": 2}, 'unknown field "spec.workers.gpu"'),
        ({"training.steps": "200"}, "must be of type integer"),
        ({"workers.count": 0}, "should be greater than or equal to 1"),
        ({"training.precision": "int4"}, "supported values"),
    ],
)
def test_the_schema_refuses_what_python_refuses(
    jobs: client.CustomObjectsApi, namespace: str, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(client.ApiException) as refused:
        create(jobs, namespace, changed(change), dry_run="All")
    assert words in yaml.safe_load(refused.value.body)["message"]


def test_defaults_are_the_schemas(jobs: client.CustomObjectsApi, namespace: str) -> None:
    from ultrathink_api.job import UltraThinkJob

    stored = create(jobs, namespace, changed({"metadata.name": f"d-{uuid.uuid4().hex[:8]}"}))
    assert UltraThinkJob.parse(stored).spec == UltraThinkJob.parse(changed({})).spec
    assert stored["spec"]["training"]["optimizer"]["weightDecay"] == 0.1


def test_kubectl_shows_a_job_in_columns(jobs: client.CustomObjectsApi, namespace: str) -> None:
    create(jobs, namespace, changed({}))
    api = jobs.api_client
    answer = api.call_api(
        "GET",
        f"{api.configuration.host}/apis/{API_GROUP}/{API_VERSION}/namespaces/{namespace}/{PLURAL}",
        header_params={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    )
    table = json.loads(answer.read())
    names = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert [n.upper() for n in names] == (
        ["NAME", "PHASE", "REASON", "STEP", "PROGRESS", "ETA", "LOSS", "WORKERS", "RESTARTS", "AGE"]
    )
