"""A cluster of processes on this machine: takes root on Linux, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from testbed.cluster import ProcessCluster
from testbed.engines import Buildah
from testbed.makers import Cluster, ObjectStore
from testbed.node import layout


@contextmanager
def cluster() -> Iterator[Cluster]:
    one = ProcessCluster()
    store = ObjectStore(layout.S3_ENDPOINT, layout.S3_ACCESS_KEY, layout.S3_SECRET_KEY, layout.S3_REGION)
    with one.borrowed():
        yield Cluster("processes", one.kubeconfig, store, Buildah().build, one.load_image, one.without_api_server)
