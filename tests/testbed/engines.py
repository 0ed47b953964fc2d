"""What builds and pushes images: Docker where its engine answers, buildah elsewhere, behind one small interface."""

import fcntl
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from testbed import packages, paths
from testbed.node import layout

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# What a build may need to reach the package index that this machine uses.
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX")
# Registries on this machine have no certificates.
PLAIN_HTTP = ("localhost", "127.0.0.1", layout.NODE_IP)
# Packing 5 GB is most of what a push and a pull cost; this is the cheapest that both ends know.
NEAR = ("--tls-verify=false", "--compression-format", "zstd", "--compression-level", "1")
ENGINE_ANSWERS_S = 10
ERROR_CHARACTERS = 3000
KEPT_IMAGES = 3


class Engine(Protocol):
    def build(self, tag: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> str:
        """Builds an image and answers the name it has in this engine."""
        ...

    def push(self, ref: str, target: str) -> str:
        """Pushes a local image, only the layers that the registry lacks; answers the target."""
        ...


class Docker:
    """Its Containerfiles' own BASE is what it starts from: it can pull."""

    def build(self, tag: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> str:
        given = _as_flags({**_index_settings(), **arguments})
        run("docker", "build", "--quiet", *given, "--tag", tag, "--file", str(containerfile), str(context))
        return tag

    def push(self, ref: str, target: str) -> str:
        run("docker", "tag", ref, target)
        run("docker", "push", "--quiet", target)
        return target


class Buildah:
    """Needs no engine and no registry: BASE defaults to an image made from the distribution's packages.

    A Containerfile that installs with pip or uv declares `ARG PIP_CERT` and `ARG SSL_CERT_FILE`, so that a machine
    with certificate authorities of its own can build it: its bundle is laid over the image's while building.
    """

    # Needs no runtime and no capabilities beyond root's usual ones, so it also works inside containers.
    ISOLATION = ("--isolation", "chroot", "--network", "host")

    def build(self, tag: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> str:
        from testbed import images

        passed = {**_index_settings(), **arguments}
        if "BASE" not in passed:
            passed["BASE"] = images.base()
        trusted: list[str] = []
        if CA_BUNDLE.exists():
            passed |= {"PIP_CERT": str(CA_BUNDLE), "SSL_CERT_FILE": str(CA_BUNDLE)}
            trusted = ["--volume", f"{CA_BUNDLE}:{CA_BUNDLE}:ro"]
        flags = [*self.ISOLATION, "--layers", *trusted, *_as_flags(passed)]
        ref = f"localhost/{tag.removeprefix('localhost/')}"
        with self._lock() as mine:
            fcntl.flock(mine, fcntl.LOCK_SH)
            run(*self._command(), "bud", *flags, "--tag", ref, "--file", str(containerfile), str(context))
            self._forget_older(ref.rpartition(":")[0], mine)
        return ref

    def build_from_scratch(self, ref: str, folder: Path) -> str:
        """Builds a folder's Containerfile with nothing passed in."""
        run(*self._command(), "bud", *self.ISOLATION, "--tag", ref, str(folder))
        return ref

    def push(self, ref: str, target: str) -> str:
        near = target.partition(":")[0] in PLAIN_HTTP
        run(*self._command(), "push", "--quiet", *(NEAR if near else ()), ref, f"docker://{target}")
        return target

    def has(self, ref: str) -> bool:
        inspect = [*self._command(), "inspect", "--type=image", ref]
        return subprocess.run(inspect, capture_output=True, check=False).returncode == 0

    def _forget_older(self, name: str, mine: IO[str]) -> None:
        """All but the newest of a name, for each change of a source makes gigabytes; the layers of those stay, and
        speed the next build up. Left out while another build goes on."""
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        listed = run(
            *self._command(),
            "images",
            "--format",
            "{{.CreatedAtRaw}} {{.Name}}:{{.Tag}}",
            "--filter",
            f"reference={name}",
        )
        refs = [line.split()[-1] for line in sorted(listed.splitlines(), reverse=True)]
        if refs[KEPT_IMAGES:]:
            run(*self._command(), "rmi", *refs[KEPT_IMAGES:])

    @contextmanager
    def _lock(self) -> Iterator[IO[str]]:
        file = paths.cache() / "buildah.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as mine:
            yield mine

    def _command(self) -> Sequence[str]:
        # A store of our own: layers are kept in the cache, and the user's images are left alone.
        store = paths.cache() / "buildah"
        return [packages.command("buildah"), "--root", str(store / "store"), "--runroot", str(store / "run")]


def engine() -> Engine:
    return Docker() if docker_answers() else Buildah()


@functools.cache
def docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, timeout=ENGINE_ANSWERS_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-ERROR_CHARACTERS:]}")
    return done.stdout


def _index_settings() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _as_flags(arguments: Mapping[str, str]) -> list[str]:
    return [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
