"""A cluster that exists already: UTK_E2E_KUBECONFIG, with REGISTRY or UTK_E2E_HAND_OVER for images."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.engines import engine, run
from testbed.makers import Cluster, ObjectStore
from testbed.needs import CannotSupply
from testbed.s3 import S3Server


@contextmanager
def cluster() -> Iterator[Cluster]:
    kubeconfig = Path(os.environ["UTK_E2E_KUBECONFIG"])
    if not kubeconfig.exists():
        raise CannotSupply("cluster", f"{kubeconfig} does not exist", "export UTK_E2E_KUBECONFIG=<a kubeconfig>")
    if "UTK_TEST_S3_ENDPOINT" not in os.environ:
        supply = "export UTK_TEST_S3_ENDPOINT=<one that pods and this machine reach>"
        raise CannotSupply("S3 server", "this machine's own is out of the cluster's reach", supply)
    with S3Server() as s3:
        store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, s3.region)
        yield Cluster("external", kubeconfig, store, engine().build, hand_over)


def hand_over(ref: str) -> str:
    """By a command that is given the image's name in place of {image}, or through a registry that nodes reach."""
    command, registry = os.environ.get("UTK_E2E_HAND_OVER"), os.environ.get("REGISTRY")
    if command:
        run(*(part.replace("{image}", ref) for part in shlex.split(command)))
        return ref
    if registry:
        return engine().push(ref, f"{registry}/{ref.removeprefix('localhost/')}")
    raise CannotSupply("images", "no way to the cluster's nodes", "export REGISTRY=<a registry that nodes reach>")
