"""The charts as they are published: of the tag's version, and their images named by digest.

charts/release.py TAG OPERATOR TRAINER: the last two as REGISTRY/ultrathink-NAME@sha256:DIGEST. Prints the files made.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHARTS = ROOT / "charts"
NAMES = ("ultrathink-crds", "ultrathink")
OUT = ROOT / "dist"
sys.path.insert(0, str(ROOT / "tests"))

from testbed.binaries import binary  # noqa: E402 (the path above is what makes it importable)

IMAGE = re.compile(r"(?P<registry>.+)/ultrathink-(?P<name>operator|trainer)@(?P<digest>sha256:[0-9a-f]{64})")


class Unfit(Exception):
    """What cannot be released as it is; says how to make it fit."""


def release(tag: str, images: Sequence[str], out: Path) -> list[Path]:
    """Packages both charts into a folder."""
    version = _version(tag)
    with tempfile.TemporaryDirectory() as scratch:
        for name in NAMES:
            shutil.copytree(CHARTS / name, Path(scratch, name))
        values = Path(scratch, "ultrathink", "values.yaml")
        values.write_text(pinned(values.read_text(), images))
        out.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            command = [binary("helm"), "package", Path(scratch, name), "--destination", out]
            subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
    return [out / f"{name}-{version}.tgz" for name in NAMES]


def pinned(values: str, images: Sequence[str]) -> str:
    """The chart's values with these images in place of none; comments stay."""
    found = [IMAGE.fullmatch(image) for image in images]
    said = {image["name"]: image for image in found if image}
    registries = {image["registry"] for image in said.values()}
    if set(said) != {"operator", "trainer"} or len(registries) != 1:
        raise Unfit(f"{' '.join(images)}: name both images of one registry, as REGISTRY/ultrathink-operator@sha256:...")
    values = _replaced(values, r'(\nimages:\n(?:  .*\n)*?  registry: )""', registries.pop())
    for name, image in said.items():
        values = _replaced(
            values, rf'(    repository: ultrathink-{name}\n(?:    .*\n)*?    digest: )""', image["digest"]
        )
    return values


def _replaced(text: str, pattern: str, value: str) -> str:
    text, times = re.subn(pattern, lambda found: f"{found[1]}{value}", text)
    assert times == 1, f"charts/ultrathink/values.yaml has {times} places like {pattern}"
    return text


def _version(tag: str) -> str:
    """What the package and both charts say, which the tag must say too."""
    version = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    said = {"pyproject.toml": version, "the tag": tag.removeprefix("v")}
    for name in NAMES:
        chart = yaml.safe_load((CHARTS / name / "Chart.yaml").read_text())
        said |= {f"{name}'s version": chart["version"], f"{name}'s appVersion": chart["appVersion"]}
    if set(said.values()) != {version}:
        raise Unfit(f"make them one: {', '.join(f'{where} is {what}' for where, what in said.items())}")
    return version


if __name__ == "__main__":
    tag, *images = sys.argv[1:]
    try:
        print(*release(tag, images, OUT), sep="\n")
    except Unfit as unfit:
        sys.exit(str(unfit))
