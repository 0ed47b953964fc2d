"""What a job's author writes beside its spec: none of it ends up on the objects that the operator makes for it."""

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from integration.operator.parts.place import QUICKSTART, Place, eventually
from integration.operator.parts.process import KEY, OperatorProcess
from ultrathink_api import names, protocol
from ultrathink_api.validate import check

LONGEST_LABEL = 63
"""Of Kubernetes: a label's value, a Service's name, a host name."""
HASH = len("-0123456789")
"""What the StatefulSet controller adds to a set's name in the label of a revision."""
HIJACK = {
    "labels": {
        names.JOB_UID_LABEL: "somebody-elses",
        names.JOB_LABEL: "other",
        names.ROLE_LABEL: names.HEAD,
        names.MANAGED_BY_LABEL: "me",
        **names.OPERATOR_LABELS,
        "kueue.x-k8s.io/queue-name": "the-large-one",
        "mine": "1",
    },
    "annotations": {
        "container.apparmor.security.beta.kubernetes.io/trainer": "unconfined",
        "sidecar.istio.io/inject": "true",
        names.RENDERER_ANNOTATION: "999",
        names.DIGEST_ANNOTATION: "forged",
        "mine": "1",
    },
}
FINALIZER = "example.com/mine"


LABELS = {
    *("namespace", "job", "uid", "model", "parallelism", "phase", "condition", "state", "cause"),
    *("kind", "name", "controller", "result", "code", "method", "version", "le"),
}
"""Of the operator's metrics: names that Kubernetes bounds, and closed lists."""
OBJECTS = 10
"""Of a cluster of two workers: two StatefulSets with three pods, and one object of each other kind."""


OBJECTS = 10
"""Of a cluster of two workers: two StatefulSets with three pods, and one object of each other kind."""


def made_for(place: Place, uid: str) -> list[dict[str, Any]]:
    """Everything that says it was made for this job."""
    from kubernetes import client

    selector = f"{names.JOB_UID_LABEL}={uid}"
    lists = (
        place.apps.list_namespaced_stateful_set,
        place.core.list_namespaced_service,
        place.core.list_namespaced_secret,
        place.core.list_namespaced_config_map,
        place.core.list_namespaced_pod,
        place.network.list_namespaced_network_policy,
        client.PolicyV1Api(place.api).list_namespaced_pod_disruption_budget,
    )
    found = [one for listed in lists for one in listed(place.namespace, label_selector=selector).items]
    return [dict(place.api.sanitize_for_serialization(one)) for one in found]


def all_for(place: Place, uid: str) -> list[dict[str, Any]]:
    return list(
        eventually(lambda: (made := made_for(place, uid)) and len(made) == OBJECTS and made, says=place.children)
    )


@pytest.mark.fault("N10", "N43")
def test_labels_annotations_owners_and_finalizers_of_a_job_stay_its_own(
    place: Place, operator: OperatorProcess
) -> None:
    theirs = place.core.create_namespaced_config_map(place.namespace, {"metadata": {"name": "theirs"}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": theirs.metadata.uid}
    body = {
        "apiVersion": "ultrathink.io/v1alpha1",
        "kind": "UltraThinkJob",
        "metadata": {"name": "hijack", **HIJACK, "ownerReferences": [owner], "finalizers": [FINALIZER]},
        "spec": QUICKSTART,
    }
    uid = place._custom("create", body=body)["metadata"]["uid"]
    objects = all_for(place, uid)
    for one in objects:
        metadata = one["metadata"]
        texts = json.dumps(metadata.get("labels", {})) + json.dumps(metadata.get("annotations", {}))
        assert metadata["labels"][names.JOB_LABEL] == "hijack"
        assert not {"mine", "kueue.x-k8s.io/queue-name", *names.OPERATOR_LABELS} & set(metadata["labels"])
        for word in ("unconfined", "istio", "forged", "somebody-elses", '"999"'):
            assert word not in texts, metadata
        assert not metadata.get("finalizers")
        assert theirs.metadata.uid not in [one["uid"] for one in metadata["ownerReferences"]]
    (policy,) = [one for one in objects if "policyTypes" in one.get("spec", {})]
    assert policy["spec"]["podSelector"]["matchLabels"][names.JOB_UID_LABEL] == uid
    assert_metrics_hold_nothing_of_it(operator.get(operator.metrics_port, "/metrics")[1])
    place.patch_job("hijack", {"metadata": {"finalizers": None}})
    place.delete_job("hijack")


def assert_metrics_hold_nothing_of_it(exposition: str) -> None:
    """No label of a metric is a user's free text: he could write any line of it, and any number of series."""
    from prometheus_client.parser import text_string_to_metric_families

    named = {
        (label, value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    assert ("job", "hijack") in named
    texts = {*HIJACK["labels"].values(), *HIJACK["annotations"].values()} - {"1", "me", names.HEAD, "true"}
    assert not [pair for pair in named if pair[1] in texts or "kueue" in pair[0]]
    assert {label for label, _ in named} <= LABELS


@pytest.mark.fault("N31")
def test_tokens_of_a_job_are_in_its_secret_and_in_nothing_else_that_can_be_read(
    place: Place, operator: OperatorProcess
) -> None:
    place.submit("quiet")
    uid = place.job("quiet")["metadata"]["uid"]
    tokens = [protocol.token(KEY, uid, use) for use in (protocol.CONTROL_TOKEN, protocol.RAY_TOKEN)]
    objects = all_for(place, uid)
    secrets = [one for one in objects if "data" in one and "type" in one]
    assert len(secrets) == 1, "the one place where they belong"
    events = place.core.list_namespaced_event(place.namespace)
    told = [one for one in objects if one not in secrets]
    text = json.dumps([told, place.job("quiet"), place.api.sanitize_for_serialization(events)])
    text += Path(operator.log).read_text()
    for token in tokens:
        assert token not in text
    place.delete_job("quiet")


LONGEST = "a" * 40
"""UTK0109's limit."""


@pytest.mark.fault("N19")
@pytest.mark.usefixtures("operator")
def test_a_job_of_the_longest_name_gets_objects_that_kubernetes_takes(place: Place) -> None:
    place.submit(LONGEST)
    uid = place.job(LONGEST)["metadata"]["uid"]
    objects = all_for(place, uid)
    pods = {one["metadata"]["name"] for one in objects if "containers" in one.get("spec", {})}
    assert pods == {names.head_pod(LONGEST, 1), *(names.worker_pod(LONGEST, 1, index) for index in range(2))}
    most = names.worker_set(LONGEST, 9_999)
    assert len(most) + HASH <= LONGEST_LABEL, "there is room for the controller's suffix at cluster 9,999"
    place.delete_job(LONGEST)


@pytest.mark.fault("N19")
@pytest.mark.parametrize("name", [LONGEST + "a", "a" * 63, "a" * 253, "a.b", "-a", "a-", "A", "1a"])
def test_a_longer_name_and_one_that_no_host_can_bear_is_refused_with_a_fix(lonely: Place, name: str) -> None:
    with pytest.raises(ApiException) as refused:
        lonely.submit(name)
    assert refused.value.status == 422
    body = {
        "apiVersion": "ultrathink.io/v1alpha1",
        "kind": "UltraThinkJob",
        "metadata": {"name": name},
        "spec": QUICKSTART,
    }
    _, problems = check(body)
    assert problems and problems[0].fix
    assert problems[0].field.startswith("metadata.name")


@pytest.mark.fault("N19")
def test_no_two_jobs_and_clusters_share_a_name_of_any_object() -> None:
    jobs = ["a", *(f"a-{end}" for end in ("1", "1-1", "11", "head", "1-head", "1-worker", "1-head-0", "1-1-worker-0"))]
    kinds = {
        "service": names.cluster,
        "set": lambda job, number: (names.head_set(job, number), names.worker_set(job, number)),
        "pod": lambda job, number: (
            names.head_pod(job, number),
            *(names.worker_pod(job, number, i) for i in range(12)),
        ),
    }
    for kind, made in kinds.items():
        seen: dict[str, tuple[str, int]] = {}
        for job in jobs:
            for number in (1, 2, 11, 111):
                given = made(job, number)
                for name in (given,) if isinstance(given, str) else given:
                    assert seen.setdefault(name, (job, number)) == (job, number), f"{kind} {name}"
