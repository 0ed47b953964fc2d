"""What a release publishes: charts that name their images by digest, under the version of their tag."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "charts"))

import release  # noqa: E402 (a script, not a package: the path above is what makes it importable)

REGISTRY = "registry.example.com/team"
IMAGES = [f"{REGISTRY}/ultrathink-{name}@sha256:{digit * 64}" for name, digit in (("operator", "1"), ("trainer", "2"))]
TAG = "v0.1.0"


@pytest.fixture(scope="module")
def charts(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return release.release(TAG, IMAGES, tmp_path_factory.mktemp("release"))


def test_the_published_chart_installs_its_images_by_digest(
    charts: list[Path], helm: Path, one: Callable[..., dict[str, Any]]
) -> None:
    _, chart = charts
    command = [str(helm), "template", "release", str(chart), "--set", "images.requireDigest=true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    objects = [document for document in yaml.safe_load_all(done.stdout) if document]
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGES[0]
    assert IMAGES[1] in done.stdout


def test_both_charts_bear_the_version_of_the_tag(charts: list[Path]) -> None:
    assert [chart.name for chart in charts] == ["ultrathink-crds-0.1.0.tgz", "ultrathink-0.1.0.tgz"]
    assert all(chart.is_file() for chart in charts)


def test_a_tag_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(release.Unfit, match=r"the tag is 0\.2\.0"):
        release.release("v0.2.0", IMAGES, tmp_path)


@pytest.mark.parametrize(
    "images",
    [
        [IMAGES[0]],
        [IMAGES[0], IMAGES[0]],
        [IMAGES[0], f"{REGISTRY}/ultrathink-trainer:0.1.0"],
        [IMAGES[0], IMAGES[1].replace(REGISTRY, "elsewhere.example.com")],
    ],
)
def test_images_without_a_digest_or_of_two_registries_are_refused(images: list[str]) -> None:
    with pytest.raises(release.Unfit, match="both images of one registry"):
        release.pinned((ROOT / "charts" / "ultrathink" / "values.yaml").read_text(), images)
