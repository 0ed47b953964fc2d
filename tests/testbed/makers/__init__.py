"""A cluster for the e2e suite: UTK_E2E_KUBECONFIG's, or kind where Docker answers, or processes on this machine."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.engines import docker_answers


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server under an address that is good for pods and for the tests alike."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str


@dataclass(frozen=True)
class Cluster:
    maker: str  # "external", "kind" or "processes"
    kubeconfig: Path
    s3: ObjectStore
    build: Callable[[str, Path, Path, Mapping[str, str]], str]  # (tag, Containerfile, context, arguments) -> local name
    hand_over: Callable[[str], str]  # a local image's name -> its name for pods
    without_api_server: Callable[[], AbstractContextManager[None]] | None = None  # None: it is not ours to stop


@contextmanager
def choose() -> Iterator[Cluster]:
    """The first that works; what had to be started for it is ended with the block."""
    from testbed.makers import external, kind, processes

    if os.environ.get("UTK_E2E_KUBECONFIG"):
        maker = external.cluster
    elif docker_answers():
        maker = kind.cluster
    else:
        maker = processes.cluster
    with maker() as cluster:
        yield cluster
