"""Whether a job may run: its spec, its runtime, its place for checkpoints."""

import dataclasses
from typing import Any

import pytest

from ultrathink_api.runtime import RuntimeSpec
from ultrathink_operator.observe import House
from ultrathink_operator.policies import admission
from ultrathink_operator.render import config
from unit.operator.parts.cluster import HOUSE, SPEC, Cluster


def job(**spec: Any) -> Cluster:
    return Cluster(spec={**SPEC, **spec})


def runtime(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": "1", "generation": 4}
    return {"metadata": metadata, "spec": spec}


def refusal(cluster: Cluster) -> tuple[str, str, str]:
    admitted, finding = admission.admit(cluster.seen())
    assert admitted is None
    said = next(c for c in finding.conditions if c.status == "False")
    return said.type, said.reason, said.message


def test_a_layout_that_does_not_fit_is_refused_with_code_and_fix() -> None:
    kind, reason, message = refusal(job(parallelism={"tensor": 4}))
    assert (kind, reason) == ("Valid", "Invalid")
    assert message.startswith("UTK0108 spec.parallelism: ")
    assert "(fix: " in message


def test_all_that_is_wrong_is_counted() -> None:
    assert "(and 1 more)" in refusal(job(training={}, resume={"from": "yesterday"}))[2]


def test_without_a_runtime_the_operators_own_is_taken() -> None:
    admitted, _ = admission.admit(job().seen())
    assert admitted is not None
    assert admitted.used.name == "the operator's"
    assert admitted.runtime == HOUSE.defaults


def test_the_namespaces_default_goes_before_the_operators_own() -> None:
    cluster = job()
    cluster.runtimes = [runtime("default", image="team/trainer:2", storage={"uri": "s3://team"})]
    admitted, _ = admission.admit(cluster.seen())
    assert admitted is not None
    assert (admitted.used.name, admitted.used.generation) == ("default", 4)
    assert admitted.runtime.image == "team/trainer:2"


def test_a_runtime_without_an_image_gets_the_operators() -> None:
    cluster = job(runtime="h100")
    cluster.runtimes = [runtime("h100", storage={"uri": "s3://team"})]
    admitted, _ = admission.admit(cluster.seen())
    assert admitted is not None
    assert admitted.runtime.image == HOUSE.defaults.image


def test_a_runtime_that_is_not_there_is_named() -> None:
    kind, reason, message = refusal(job(runtime="h100"))
    assert (kind, reason) == ("Admitted", "RuntimeNotFound")
    assert "h100" in message


def test_a_runtime_that_cannot_be_read_is_named_with_its_field() -> None:
    cluster = job(runtime="h100")
    cluster.runtimes = [runtime("h100", pods={"memory": "lots"})]
    kind, reason, message = refusal(cluster)
    assert (kind, reason) == ("Admitted", "RuntimeInvalid")
    assert "spec.pods.memory" in message


def test_a_job_without_a_place_for_checkpoints_is_refused() -> None:
    cluster = job()
    cluster.house = House("ultrathink-system", RuntimeSpec(image="trainer:1"))
    kind, reason, message = refusal(cluster)
    assert (kind, reason) == ("Admitted", "NoStorage")
    assert message.startswith("UTK0520 spec.checkpoint.uri")


def test_checkpoints_in_a_pods_own_files_are_refused() -> None:
    assert refusal(job(checkpoint={"uri": "file:///tmp/x"}))[2].startswith("UTK01")


def test_data_in_files_are_refused_since_no_pod_has_them() -> None:
    kind, reason, message = refusal(job(data={"uri": "file:///data/web"}))
    assert (kind, reason) == ("Admitted", "NoData")
    assert message.startswith("UTK0216 spec.data: file:///data/web")


SHARED = {"claimName": "all", "mountPath": "/mnt/all"}
CORPORA = {"claimName": "corpora", "mountPath": "/mnt/all/corpora", "readOnly": True}


def on_volumes(*volumes: dict[str, Any], **spec: Any) -> Cluster:
    cluster = job(runtime="shared", **spec)
    cluster.runtimes = [runtime("shared", image="team/trainer:2", pods={"volumes": list(volumes)})]
    return cluster


def test_data_and_checkpoints_may_lie_on_a_volume_of_the_runtime() -> None:
    places = {"data": {"uri": "file:///mnt/all/corpora/web"}, "checkpoint": {"uri": "file:///mnt/all/runs"}}
    admitted, _ = admission.admit(on_volumes(SHARED, CORPORA, **places).seen())
    assert admitted is not None


@pytest.mark.parametrize(
    "place", ["/mnt/all/corpora/runs", "/mnt/allowed", "/mnt/all/corpora", "/tmp/mnt/all", "/mnt/all/../../tmp"]
)
def test_checkpoints_beside_a_volume_or_on_one_to_read_are_refused(place: str) -> None:
    _, _, message = refusal(on_volumes(SHARED, CORPORA, checkpoint={"uri": f"file://{place}"}))
    assert message.startswith(("UTK0128", "UTK0123")), message


def test_data_beside_a_volume_are_refused() -> None:
    places = {"data": {"uri": "file:///mnt/all/web"}, "checkpoint": {"uri": "s3://runs"}}
    assert refusal(on_volumes(CORPORA, **places))[2].startswith("UTK0216")


@pytest.mark.parametrize(
    ("pods", "named"),
    [
        ({"volumes": [CORPORA, {**CORPORA, "claimName": "others"}]}, "mountPath"),
        ({"volumes": [{**CORPORA, "mountPath": "/usr/lib"}]}, "mountPath"),
        ({"volumes": [{**CORPORA, "mountPath": "/mnt/../usr"}]}, "mountPath"),
        ({"nccl": {"NCCL_DEBUG": "INFO"}}, "nccl.NCCL_DEBUG"),
        ({"nccl": {"X=1": "y"}}, "nccl.X=1"),
        ({"devices": {"rdma/hca": 0}}, "rdma/hca"),
    ],
)
def test_a_runtime_that_no_pod_could_be_made_of_is_named_with_its_field(pods: dict[str, Any], named: str) -> None:
    cluster = job(runtime="h100")
    cluster.runtimes = [runtime("h100", image="team/trainer:2", pods=pods)]
    kind, reason, message = refusal(cluster)
    assert (kind, reason) == ("Admitted", "RuntimeInvalid")
    assert named in message


def test_a_model_in_a_folder_is_refused_since_no_pod_has_it() -> None:
    kind, reason, message = refusal(job(model={"from": "hf:models/llama"}))
    assert (kind, reason) == ("Valid", "Invalid")
    assert message.startswith("UTK0227 spec.model.from: hf:models/llama")
    assert "utk run --local" in message


def test_data_in_a_bucket_are_admitted() -> None:
    mixture = {"mixture": [{"uri": "s3://corpora/web", "weight": 3}, {"uri": "s3://corpora/code"}]}
    admitted, _ = admission.admit(job(data=mixture).seen())
    assert admitted is not None
    assert [(source.uri, source.weight) for source in admitted.plan.data] == [
        ("s3://corpora/web", 3),
        ("s3://corpora/code", 1),
    ]


@pytest.mark.parametrize(("vouches", "named"), [(True, "ann"), (False, "")])
def test_who_made_a_job_is_passed_on_where_a_policy_vouches_for_it(vouches: bool, named: str) -> None:
    cluster = job()
    cluster.house = dataclasses.replace(cluster.house, vouches=vouches)
    cluster.job["metadata"]["annotations"] = {"ultrathink.io/submitted-by": "ann"}
    admitted, _ = admission.admit(cluster.seen())
    assert admitted is not None
    order = admitted.order(cluster.seen(), 1)
    assert (order.submitter, config.run_config(order).submitter) == (named, named)
    assert order.digest == dataclasses.replace(order, submitter="").digest, "no cluster is rendered anew for it"


def test_an_operator_without_an_image_says_so() -> None:
    cluster = job()
    cluster.house = House("ultrathink-system", RuntimeSpec.model_validate({"storage": {"uri": "s3://runs"}}))
    assert refusal(cluster)[1] == "OperatorMisconfigured"


def test_the_grace_is_read_even_from_a_spec_that_is_refused() -> None:
    assert admission.grace_seconds(job(checkpoint={"graceSeconds": 90}, parallelism={"tensor": 4}).seen()) == 90
    assert admission.grace_seconds(job(checkpoint="nonsense").seen()) == 60
