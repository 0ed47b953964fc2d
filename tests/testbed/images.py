"""Makes container images without an engine: a base from the distribution's packages, builds and pushes by buildah."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed import packages, paths
from testbed.needs import CannotSupply

BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
PAUSE_SOURCE = Path(__file__).parent / "node" / "pause.c"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# What a build on this machine may need to reach its package index.
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX")


def base() -> str:
    """A Debian with Python and CA certificates and nothing else; the name of the local image."""
    recipe = f"{_codename()} {' '.join(BASE_PACKAGES)}"
    ref = f"localhost/base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not exists(ref):
        print(f"making the base image ({recipe}) ... 35 s the first time", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="utk-base-") as folder:
            root = Path(folder) / "root.tar"
            _run(
                packages.command("mmdebstrap"),
                "--quiet",
                "--variant=minbase",
                f"--include={','.join(BASE_PACKAGES)}",
                _codename(),
                str(root),
                *map(str, _package_sources()),
            )
            (Path(folder) / "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
            _buildah("bud", *_isolation(), "--tag", ref, folder)
    return ref


def pause() -> str:
    """The image that holds a pod's namespaces open; the name of the local image."""
    ref = f"localhost/pause:{hashlib.sha256(PAUSE_SOURCE.read_bytes()).hexdigest()[:12]}"
    if not exists(ref):
        packages.ensure("cc", "/usr/include/stdio.h")
        with tempfile.TemporaryDirectory(prefix="utk-pause-") as folder:
            _run("cc", "-Os", "-static", "-s", "-o", f"{folder}/pause", str(PAUSE_SOURCE))
            (Path(folder) / "Containerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
            _buildah("bud", *_isolation(), "--tag", ref, folder)
    return ref


def build(tag: str, containerfile: Path, context: Path, arguments: Mapping[str, str] | None = None) -> str:
    """Builds an image by buildah. BASE defaults to base().

    A Containerfile that installs with pip or uv declares `ARG PIP_CERT` and `ARG SSL_CERT_FILE`, so that a machine
    with certificate authorities of its own can build it: its bundle is laid over the image's while building.
    """
    passed = {"BASE": (arguments or {}).get("BASE") or base(), **(arguments or {})}
    passed |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    trusted: list[str] = []
    if CA_BUNDLE.exists():
        passed |= {"PIP_CERT": str(CA_BUNDLE), "SSL_CERT_FILE": str(CA_BUNDLE)}
        trusted = ["--volume", f"{CA_BUNDLE}:{CA_BUNDLE}:ro"]
    given = [part for name, value in passed.items() for part in ("--build-arg", f"{name}={value}")]
    ref = tag if tag.startswith("localhost/") else f"localhost/{tag}"
    _buildah(
        "bud", *_isolation(), "--layers", *trusted, *given, "--tag", ref, "--file", str(containerfile), str(context)
    )
    return ref


def push(ref: str, target: str) -> str:
    """Pushes a local image to a registry, only the layers that it lacks; answers the target."""
    _buildah("push", "--quiet", "--tls-verify=false", ref, f"docker://{target}")
    return target


def exists(ref: str) -> bool:
    return (
        subprocess.run(
            [*_buildah_command(), "inspect", "--type=image", ref], capture_output=True, check=False
        ).returncode
        == 0
    )


def _isolation() -> list[str]:
    # Needs no runtime and no capabilities beyond root's usual ones, so it also works inside containers.
    return ["--isolation", "chroot", "--network", "host", "--format", "oci"]


def _buildah(*arguments: str) -> None:
    _run(*_buildah_command(), *arguments)


def _buildah_command() -> Sequence[str]:
    store = paths.cache() / "buildah"
    return [packages.command("buildah"), "--root", str(store / "store"), "--runroot", str(store / "run")]


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{shutil.which(command[0]) or command[0]} failed:\n{done.stdout[-3000:]}")


def _codename() -> str:
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    if not found or "ID=debian" not in release:
        raise CannotSupply("base image", "it is made from Debian's packages", "give one: BASE=python:3.11-slim")
    return found[1]


def _package_sources() -> list[Path]:
    """The machine's own sources of its distribution, for these are known to answer; none: the tool's default."""
    folder = Path("/etc/apt/sources.list.d")
    candidates = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    suite = re.compile(rf"^[^#]*\s{_codename()}(-security|-updates)?(\s|$)", re.MULTILINE)
    return [file for file in candidates if file.exists() and suite.search(file.read_text())]
