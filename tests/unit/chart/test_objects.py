"""What `helm install` makes: a restricted pod, its key, the runtime of jobs that name none, and the CRDs."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[3] / "charts" / "ultrathink"
Objects = list[dict[str, Any]]
Render = Callable[..., Objects]
One = Callable[..., dict[str, Any]]


def pod(objects: Objects) -> dict[str, Any]:
    (deployment,) = [o for o in objects if o["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]


def test_the_operators_pod_is_restricted(render: Render) -> None:
    spec = pod(render())
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert {kind for volume in spec["volumes"] for kind in set(volume) - {"name"}} == {"secret", "configMap"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]


def test_jobs_network_policies_find_the_operators_pod(render: Render, one: One) -> None:
    from ultrathink_api.names import OPERATOR_LABELS

    template = one(render(), "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"].items() >= OPERATOR_LABELS.items()


def test_the_operator_speaks_under_its_own_account_whose_token_no_other_pod_gets(render: Render, one: One) -> None:
    objects = render()
    account = one(objects, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod(objects)["automountServiceAccountToken"] is True
    assert pod(objects)["serviceAccountName"] == account["metadata"]["name"]


def test_an_account_that_exists_is_named_or_the_chart_says_so(render: Render) -> None:
    spec = pod(render("serviceAccount.create=false", 'serviceAccount.name="mine"'))
    assert spec["serviceAccountName"] == "mine"
    with pytest.raises(Exception, match=r"serviceAccount\.name must name one that exists"):
        render("serviceAccount.create=false")


def test_a_key_is_made_and_mounted(render: Render, one: One) -> None:
    objects = render()
    secret = one(objects, "Secret")
    assert len(base64.b64decode(secret["data"]["key"])) >= 32
    assert mounted_secret(objects) == secret["metadata"]["name"] == "release-control"


def test_two_installs_have_two_keys(render: Render, one: One) -> None:
    assert one(render(), "Secret")["data"] != one(render(), "Secret")["data"]


def test_a_key_that_exists_is_used_and_none_is_made(render: Render) -> None:
    objects = render('control.existingSecret="mine"')
    assert mounted_secret(objects) == "mine"
    assert not [o for o in objects if o["kind"] == "Secret"]


def mounted_secret(objects: Objects) -> str:
    (volume,) = [v for v in pod(objects)["volumes"] if v["name"] == "control"]
    return volume["secret"]["secretName"]


def test_the_runtime_is_what_the_api_calls_one_and_names_the_trainers_image(render: Render, one: One) -> None:
    from ultrathink_api.runtime import RuntimeSpec

    objects = render('images.registry="registry.example/a/"', 'runtime.storage.uri="s3://runs"', "runtime.pods.cpus=2")
    spec = RuntimeSpec.model_validate(yaml.safe_load(one(objects, "ConfigMap")["data"]["runtime.yaml"]))
    assert spec.image == "registry.example/a/ultrathink-trainer:0.1.0"
    assert (spec.storage.uri, spec.pods.cpus) == ("s3://runs", 2)


def test_the_runtimes_own_image_wins(render: Render, one: One) -> None:
    found = yaml.safe_load(one(render('runtime.image="mine:1"'), "ConfigMap")["data"]["runtime.yaml"])
    assert found["image"] == "mine:1"


def test_another_runtime_takes_another_pod(render: Render, one: One) -> None:
    def mark(*settings: str) -> str:
        return one(render(*settings), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/runtime"]

    assert mark() == mark()
    assert mark() != mark('runtime.storage.uri="s3://elsewhere"')


@pytest.mark.parametrize(
    ("settings", "image"),
    [
        ((), "ultrathink-operator:0.1.0"),
        (('images.operator.tag="x"',), "ultrathink-operator:x"),
        (('images.registry="r:5000"', 'images.operator.tag="x"'), "r:5000/ultrathink-operator:x"),
        ((f'images.operator.digest="sha256:{"a" * 64}"',), f"ultrathink-operator@sha256:{'a' * 64}"),
    ],
)
def test_images_are_named_by_registry_tag_and_digest(render: Render, settings: tuple[str, ...], image: str) -> None:
    assert pod(render(*settings))["containers"][0]["image"] == image


def crds(objects: Objects) -> Objects:
    return [o for o in objects if o["kind"] == "CustomResourceDefinition"]


@pytest.mark.parametrize(("chart", "keep"), [("ultrathink", "crds.keep"), ("ultrathink-crds", "keep")])
def test_the_crds_are_the_generated_ones_and_stay_unless_told_otherwise(render: Render, chart: str, keep: str) -> None:
    from ultrathink_api.crd import crds as generated

    found = crds(render(chart=chart))
    annotations = [crd["metadata"].pop("annotations") for crd in found]
    assert annotations == [{"helm.sh/resource-policy": "keep"}] * 2
    by_name = {crd["metadata"]["name"]: crd for crd in generated()}
    assert {crd["metadata"]["name"]: crd for crd in found} == by_name
    assert {crd["metadata"]["name"]: crd for crd in crds(render(f"{keep}=false", chart=chart))} == by_name


def test_crds_can_be_left_to_somebody_else(render: Render) -> None:
    assert not crds(render("crds.install=false"))


def policies(objects: Objects) -> list[str]:
    return sorted(o["metadata"]["name"] for o in objects if o["kind"].startswith("ValidatingAdmissionPolicy"))


def test_all_policies_are_bound_where_jobs_are_watched(render: Render) -> None:
    objects = render('watchNamespaces=["team-a", "team-b"]')
    names = [f"home-release-operator-{word}" for word in ("itself", "runtimes", "submitters")]
    assert policies(objects) == sorted([*names, *names])
    (binding,) = [
        o for o in objects if o["kind"] == "ValidatingAdmissionPolicyBinding" and o["metadata"]["name"] == names[1]
    ]
    (where,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert where["values"] == ["team-a", "team-b"]
    assert not policies(render("admission.policy=false"))


def test_pods_can_be_held_to_a_list_of_accounts(render: Render, one: One) -> None:
    def said(*settings: str) -> str:
        found = one(render(*settings), "ValidatingAdmissionPolicy", "home-release-operator-itself")
        return str(found["spec"]["validations"])

    assert "trainer-a" in said('admission.serviceAccounts=["trainer-a", "trainer-b"]')
    assert "admission.serviceAccounts" not in said()


def test_pods_mount_the_runtimes_secret_and_those_of_a_list(render: Render, one: One) -> None:
    def said(*settings: str) -> str:
        found = one(render(*settings), "ValidatingAdmissionPolicy", "home-release-operator-itself")
        return str(found["spec"]["validations"])

    assert "secretName in []" in said()
    given = said('runtime.storage.secretName="runs"', 'admission.secrets=["team-s3"]')
    assert "secretName in ['team-s3','runs']" in given.replace("\\'", "'")


def test_monitors_are_made_only_where_something_reads_them(helm: Path, render: Render, one: One) -> None:
    with pytest.raises(Exception, match="CRDs of the Prometheus operator"):
        render("monitoring.podMonitor=true")
    command = [helm, "template", "release", CHART, "-n", "home", "--api-versions", "monitoring.coreos.com/v1"]
    told = ["--set", "monitoring.podMonitor=true,monitoring.serviceMonitor=true,monitoring.labels.release=p"]
    done = subprocess.run(list(map(str, [*command, *told])), capture_output=True, text=True, check=True)
    objects = [document for document in yaml.safe_load_all(done.stdout) if document]
    service = one(objects, "Service")
    operators, jobs = one(objects, "ServiceMonitor"), one(objects, "PodMonitor")
    assert service["metadata"]["labels"].items() >= operators["spec"]["selector"]["matchLabels"].items()
    assert jobs["spec"]["namespaceSelector"] == {"matchNames": ["home"]}
    assert {m["metadata"]["labels"]["release"] for m in (operators, jobs)} == {"p"}


def test_heads_of_jobs_bear_the_labels_that_the_monitor_selects() -> None:
    from ultrathink_api import names

    labels = names.labels("job", "uid", 1, names.HEAD)
    text = (CHART / "templates" / "monitors.yaml").read_text()
    wanted = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.ROLE_LABEL: names.HEAD}
    assert "matchLabels: {" + ", ".join(f"{k}: {v}" for k, v in wanted.items()) + "}" in text
    assert labels.items() >= wanted.items()


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ('operator.affinity={"nodeAffinity": {}}', "affinity", {"nodeAffinity": {}}),
        ('operator.topologySpreadConstraints=[{"maxSkew": 1}]', "topologySpreadConstraints", [{"maxSkew": 1}]),
        ('operator.priorityClassName="high"', "priorityClassName", "high"),
        ('operator.nodeSelector={"a": "b"}', "nodeSelector", {"a": "b"}),
        ('images.pullSecrets=["r"]', "imagePullSecrets", [{"name": "r"}]),
    ],
)
def test_a_pods_setting_reaches_the_operators_pod(render: Render, setting: str, field: str, value: Any) -> None:
    assert field not in pod(render())
    assert pod(render(setting))[field] == value


def test_more_variables_labels_and_objects_can_be_added(render: Render, one: One) -> None:
    extra = '[{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "mine"}}]'
    objects = render(
        'operator.extraEnv=[{"name": "HTTPS_PROXY", "value": "http://p"}]',
        'commonLabels={"team": "a"}',
        f"extraObjects={extra}",
    )
    assert {"name": "HTTPS_PROXY", "value": "http://p"} in pod(objects)["containers"][0]["env"]
    assert one(objects, "LimitRange")["metadata"]["name"] == "mine"
    labelled = [o for o in objects if o["kind"] not in ("CustomResourceDefinition", "LimitRange")]
    assert {o["metadata"]["labels"].get("team") for o in labelled} == {"a"}
    selectors = one(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert "team" not in selectors, "a selector can never change"
