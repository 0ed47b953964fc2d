"""The schema refuses what the chart does not know, before anything reaches a cluster."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHARTS = Path(__file__).resolve().parents[3] / "charts"
Render = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize("chart", ["ultrathink", "ultrathink-crds"])
def test_helm_lint_has_no_complaint(helm: Path, chart: str) -> None:
    done = subprocess.run(
        [str(helm), "lint", "--strict", str(CHARTS / chart)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("replicas=2", "replicas"),
        ("watchNamespace=[]", "watchNamespace"),
        ("crds.instal=true", "instal"),
        ("images.operator.version=1", "version"),
        ("control.key=1", "key"),
        ("runtime.storrage={}", "storrage"),
        ("runtime.storage.url=1", "url"),
        ("runtime.pods.cpu=1", "cpu"),
        ("operator.loglevel=1", "loglevel"),
        ("admission.policies=false", "policies"),
        ("operator.resources.request={}", "request"),
    ],
)
def test_an_unknown_key_is_refused_by_name(render: Render, setting: str, named: str) -> None:
    with pytest.raises(Exception, match=named):
        render(setting)


@pytest.mark.parametrize(
    "setting",
    [
        'crds.install="yes"',
        'watchNamespaces="team-a"',
        'watchNamespaces=["Team_A"]',
        'watchNamespaces=["a", "a"]',
        'scope="everywhere"',
        'images.pullPolicy="Sometimes"',
        'images.operator.digest="latest"',
        'images.operator.repository=""',
        'runtime.storage.addressing="dns"',
        'runtime.pods.cpus="many"',
        'runtime.cluster.provider="slurm"',
        'operator.apiRate="fast"',
        "operator.apiRate=0",
        'network.deniedRanges=["10.0.0.0"]',
        "serviceAccount.annotations.a=1",
    ],
)
def test_a_wrong_value_is_refused(render: Render, setting: str) -> None:
    path = setting.partition("=")[0].rpartition(".")[2]
    with pytest.raises(Exception, match=path):
        render(setting)


@pytest.mark.parametrize(
    "setting",
    [
        'runtime.storage={"uri": "s3://runs", "endpoint": "http://s3:9", "addressing": "path", "secretName": "a"}',
        'runtime.pods={"cpus": "500m", "memory": "3Gi", "headCpus": 1, "nodeSelector": {"a": "b"}}',
        'runtime.pods.tolerations=[{"key": "gpu", "operator": "Exists"}]',
    ],
)
def test_a_runtime_is_accepted_as_the_api_knows_it(render: Render, setting: str) -> None:
    assert render(setting)
