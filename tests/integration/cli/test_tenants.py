"""Two teams on one cluster, each with a job: neither sees nor changes anything of the other's, however it asks."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from integration.cli.parts.command import Utk

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
OURS, THEIRS = "ours", "theirs-and-secret"


@dataclass
class Tenant:
    """Somebody with Kubernetes' role `edit`, as the chart extends it, in one of two namespaces."""

    own: str
    other: str
    utk: Utk
    kubectl: Path
    kubeconfig: Path

    def ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run([self.kubectl, *words], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def tenant(control_plane: "ControlPlane", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    from testbed.binaries import binary
    from testbed.crds import install
    from testbed.needs import require
    from ultrathink_api.crd import crds

    helm, kubectl = require(lambda: binary("helm")), require(lambda: binary("kubectl"))
    with control_plane.api_client() as api:
        install(api, crds())
    release, user = f"r-{uuid.uuid4().hex[:6]}", f"user-{uuid.uuid4().hex[:6]}"
    own, other = (control_plane.new_namespace(f"team-{uuid.uuid4().hex[:6]}") for _ in range(2))
    admin = {**os.environ, "KUBECONFIG": str(control_plane.kubeconfig)}

    def do(*words: str, stdin: str | None = None) -> None:
        subprocess.run([kubectl, *words], input=stdin, capture_output=True, text=True, check=True, env=admin)

    command = [helm, "template", release, ROOT / "charts" / "ultrathink", "--namespace", own]
    shown = ["--set", "rbac.userRoles=true", "--show-only", "templates/userroles.yaml"]
    roles = subprocess.run([*command, *shown], capture_output=True, text=True, check=True).stdout
    do("apply", "-f", "-", stdin=roles)
    for role in ("view", "edit"):  # no controller is here to add them to Kubernetes' own
        do("create", "rolebinding", role, "-n", own, f"--clusterrole={own}-{release}-{role}", f"--user={user}")
    do("create", "rolebinding", "kubernetes-edit", "-n", own, "--clusterrole=edit", f"--user={user}")
    job = yaml.safe_load((ROOT / "manifests" / "examples" / "quickstart.yaml").read_text())
    for namespace, name in ((own, OURS), (other, THEIRS)):
        do("create", "-n", namespace, "-f", "-", stdin=json.dumps({**job, "metadata": {"name": name}}))
    kubeconfig = control_plane.kubeconfig_of_user(user, namespace=own)
    utk = Utk(tmp_path_factory.mktemp("home"), {"KUBECONFIG": str(kubeconfig)})
    yield Tenant(own, other, utk, kubectl, kubeconfig)
    do("delete", "-f", "-", stdin=roles)


def test_what_is_ones_own_is_seen_and_changed(tenant: Tenant) -> None:
    assert OURS in tenant.utk.here("list").out
    assert tenant.ask("patch", "utj", OURS, "--type=merge", "-p", '{"spec": {"suspend": true}}').returncode == 0


COMMANDS = {
    "list": ("list", "-n", "{other}"),
    "list of all": ("list", "-A"),
    "get": ("get", THEIRS, "-n", "{other}"),
    "status": ("status", THEIRS, "-n", "{other}"),
    "events": ("events", THEIRS, "-n", "{other}"),
    "logs": ("logs", THEIRS, "-n", "{other}"),
    "goodput": ("goodput", THEIRS, "-n", "{other}"),
    "stop": ("stop", THEIRS, "-n", "{other}"),
    "restart": ("restart", THEIRS, "-n", "{other}"),
    "cancel": ("cancel", THEIRS, "-n", "{other}", "--yes"),
    "delete": ("delete", THEIRS, "-n", "{other}", "--yes"),
}


@pytest.mark.fault("N25")
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_the_command_line_tells_and_changes_nothing_of_theirs(tenant: Tenant, words: tuple[str, ...]) -> None:
    said = tenant.utk.here(*(word.format(other=tenant.other) for word in words))
    assert said.code != 0, said
    assert "UTK0505" in said.err, said
    assert "moe-tiny" not in said.out + said.err and "Traceback" not in said.err


KUBECTL = {
    "all namespaces": ("get", "utj", "-A"),
    "a field selector": ("get", "utj", "-A", f"--field-selector=metadata.name={THEIRS}"),
    "a label selector": ("get", "utj", "-A", "-l", "a!=b"),
    "a watch": ("get", "utj", "-n", "{other}", "--watch"),
    "a change": ("patch", "utj", THEIRS, "-n", "{other}", "--type=merge", "-p", '{{"spec": {{"cancel": true}}}}'),
    "its scale": ("scale", "utj", THEIRS, "-n", "{other}", "--replicas=1"),
    "its status": (
        "patch", "utj", THEIRS, "-n", "{other}", "--subresource=status", "--type=merge", "-p", '{{"status": {{}}}}',
    ),
    "its events": ("get", "events", "-n", "{other}", f"--field-selector=involvedObject.name={THEIRS}"),
    "events of all": ("get", "events", "-A"),
    "its pods": ("get", "pods", "-A", "-l", f"ultrathink.io/job={THEIRS}"),
    "its runtimes": ("get", "ultrathinkruntimes", "-n", "{other}"),
}  # fmt: skip


@pytest.mark.fault("N25")
@pytest.mark.parametrize("words", KUBECTL.values(), ids=KUBECTL.keys())
def test_the_api_server_tells_and_changes_nothing_of_theirs(tenant: Tenant, words: tuple[str, ...]) -> None:
    done = tenant.ask(*(word.format(other=tenant.other) for word in words))
    assert done.returncode != 0
    assert "Forbidden" in done.stderr or "forbidden" in done.stderr, done.stderr
    assert not done.stdout
