"""Images without an engine: the two that the test bed makes itself, and those that are built on them."""

import hashlib
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from testbed import packages
from testbed.engines import Buildah, run
from testbed.needs import CannotSupply

BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
PAUSE_SOURCE = Path(__file__).parent / "node" / "pause.c"


def base() -> str:
    """A Debian with Python and CA certificates and nothing else; the name of the local image."""
    codename = _codename()
    recipe = f"{codename} {' '.join(BASE_PACKAGES)}"
    ref = f"localhost/base:{_digest(recipe.encode())}"
    if Buildah().has(ref):
        return ref
    print(f"making the base image ({recipe}) ... 35 s the first time", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="utk-base-") as folder:
        what = ["--quiet", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
        where = [codename, f"{folder}/root.tar", *map(str, _package_sources(codename))]
        run(packages.command("mmdebstrap"), *what, *where)
        (Path(folder) / "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
        return Buildah().build_from_scratch(ref, Path(folder))


def pause() -> str:
    """Holds a pod's namespaces open; the name of the local image."""
    ref = f"localhost/pause:{_digest(PAUSE_SOURCE.read_bytes())}"
    if Buildah().has(ref):
        return ref
    packages.ensure("/usr/include/stdio.h")
    with tempfile.TemporaryDirectory(prefix="utk-pause-") as folder:
        run(packages.command("cc"), "-Os", "-static", "-s", "-o", f"{folder}/pause", str(PAUSE_SOURCE))
        (Path(folder) / "Containerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
        return Buildah().build_from_scratch(ref, Path(folder))


def build(tag: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> str:
    """By buildah, on base() unless the arguments name a BASE."""
    return Buildah().build(tag, containerfile, context, arguments)


def push(ref: str, target: str) -> str:
    return Buildah().push(ref, target)


def _digest(recipe: bytes) -> str:
    return hashlib.sha256(recipe).hexdigest()[:12]


def _codename() -> str:
    file = Path("/etc/os-release")
    release = file.read_text() if file.exists() else ""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    if not found or not re.search(r"^ID=debian$", release, re.MULTILINE):
        raise CannotSupply("base image", "it is made from Debian's packages", "--build-arg BASE=<an image with Python>")
    return found[1]


def _package_sources(codename: str) -> list[Path]:
    """The machine's own sources of its distribution, for these are known to answer; none: mmdebstrap's default."""
    folder = Path("/etc/apt/sources.list.d")
    candidates = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    suite = re.compile(rf"^[^#]*\s{codename}(-security|-updates)?(\s|$)", re.MULTILINE)
    return [file for file in candidates if file.exists() and suite.search(file.read_text())]
