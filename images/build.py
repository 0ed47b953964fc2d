"""`make images [REGISTRY=] [KIND=] [BASE=] [TAG=]`: builds both images by Docker or buildah, and hands them on."""

import argparse
import hashlib
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from testbed.engines import Docker, engine, run  # noqa: E402 (the path above is what makes it importable)

IMAGES = ("operator", "trainer")
ROOMS = ("api", "planner", "operator", "store", "trainer", "cli")
"""What becomes the wheel; the same in both images."""

Build = Callable[[str, Path, Path, Mapping[str, str]], str]
"""(tag, Containerfile, context, arguments) -> the image's local name: a method of the test bed's engines."""


def build(by: Build, name: str, tag: str, base: str | None = None) -> str:
    """Builds one of the two; the answer is its local name."""
    ref = f"ultrathink-{name}:{tag}"
    print(f"building {ref} ...", file=sys.stderr, flush=True)
    return by(ref, ROOT / "images" / f"{name}.Containerfile", ROOT, {"BASE": base} if base else {})


def tag(name: str) -> str:
    """Another one whenever anything changed that the image is made of, but its base: no node runs what it kept from
    yesterday."""
    sources = [
        ROOT / file
        for file in ("pyproject.toml", "README.md", "LICENSE", f"images/{name}.Containerfile", "images/tools.txt")
    ]
    sources += [ROOT / "requirements" / f"{file}.txt" for file in ("bootstrap", name)]
    for room in ROOMS:
        sources += sorted(file for file in (ROOT / room).rglob("*") if file.is_file() and file.suffix != ".pyc")
    digest = hashlib.sha256()
    for file in sources:
        digest.update(f"{file.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"source-{digest.hexdigest()[:16]}"


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="images/build.py", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{' or '.join(IMAGES)}; default: both")
    said = {
        name: os.environ.get(name) or None for name in ("TAG", "BASE", "REGISTRY", "KIND")
    }  # as make passes them on
    parser.add_argument("--tag", default=said["TAG"] or version(), help="default: the version in pyproject.toml")
    parser.add_argument("--base", default=said["BASE"], help="with Python 3.11; default: what the Containerfile says")
    parser.add_argument("--registry", default=said["REGISTRY"], help="push to REGISTRY/ultrathink-NAME:TAG")
    parser.add_argument("--kind", default=said["KIND"], metavar="CLUSTER", help="load into this kind cluster")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(IMAGES))
    if unknown:
        parser.error(f"no image {', '.join(unknown)}; there are {', '.join(IMAGES)}")
    by = engine()
    if given.kind and not isinstance(by, Docker):
        parser.error("--kind takes a Docker engine, and none answers here; fix: --registry with one the nodes reach")
    for name in given.names or IMAGES:
        ref = build(by.build, name, given.tag, given.base)
        if given.kind:
            run("kind", "load", "docker-image", ref, "--name", given.kind)
        if given.registry:
            ref = by.push(ref, f"{given.registry}/{ref.removeprefix('localhost/')}")
        print(ref)


if __name__ == "__main__":
    main()
