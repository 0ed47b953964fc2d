"""The install guides: every command of theirs that needs no node and no registry, run in its order on an API server."""

import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
GUIDES = sorted((ROOT / "docs" / "install").glob("*.md"))
ELSEWHERE = ("make images", "helm test")
"""One builds images, one waits for pods to run: both are commands of the suite on a real cluster."""
BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(guide: Path) -> list[str]:
    blocks = [textwrap.dedent(found[2]) for found in BLOCK.finditer(guide.read_text())]
    return [line for block in blocks for line in block.splitlines() if not line.startswith(ELSEWHERE)]


@pytest.fixture
def empty() -> Iterator["ControlPlane"]:
    """An API server on which nobody has installed anything."""
    from testbed.apiserver import ControlPlane
    from testbed.needs import require

    plane = require(ControlPlane().__enter__)
    yield plane
    plane.__exit__()


@pytest.mark.parametrize("guide", GUIDES, ids=[guide.stem for guide in GUIDES])
def test_every_command_works_as_it_stands(empty: "ControlPlane", guide: Path) -> None:
    from testbed.binaries import binary
    from testbed.needs import require

    folders = [str(require(lambda name=name: binary(name)).parent) for name in ("helm", "kubectl")]
    environment = {
        **os.environ,
        "KUBECONFIG": str(empty.kubeconfig),
        "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
    }
    script = "\n".join(["set -euo pipefail", *commands(guide)])
    assert script.count("helm install") == 1
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ultrathinkjob.ultrathink.io/quickstart created" in done.stdout


def test_each_guide_goes_with_its_profile() -> None:
    assert {guide.stem for guide in GUIDES} == {"eks", "gke", "on-prem"}
    for guide in GUIDES:
        profile = f"values-{guide.stem.replace('-', '')}.yaml"
        assert f"-f charts/ultrathink/{profile}" in guide.read_text()
        assert (ROOT / "charts" / "ultrathink" / profile).exists()
