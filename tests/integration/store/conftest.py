"""One suite, two kinds of store: a folder and a bucket of a real S3 server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.store import saving
from integration.store.children import Children, Place
from ultrathink_store import JobStore, StorageSettings, Store, open_job, open_store


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where checkpoints go: `checkpoint.uri` and how to reach it."""
    if request.param == "file":
        return Place(f"file://{tmp_path}/runs", None, None)
    server = request.getfixturevalue("s3_server")
    mounted = tmp_path / "credentials"
    mounted.mkdir()
    (mounted / "AWS_ACCESS_KEY_ID").write_text(server.access_key)
    (mounted / "AWS_SECRET_ACCESS_KEY").write_text(server.secret_key + "\n")
    return Place(f"s3://{request.getfixturevalue('s3_bucket')}/runs", server.endpoint, str(mounted))


@pytest.fixture
def settings(place: Place) -> StorageSettings:
    return place.settings()


@pytest.fixture
def store(place: Place, settings: StorageSettings) -> Store:
    return open_store(place.uri, settings)


JobOf = Callable[..., JobStore]


@pytest.fixture
def job_of(place: Place, settings: StorageSettings) -> JobOf:
    """`job_of("uid-1")`: the job `moe` of the namespace `team-a`, in one of its incarnations."""

    def open_it(uid: str = "uid-1", name: str = "moe", namespace: str = "team-a") -> JobStore:
        return open_job(place.uri, namespace, name, uid, settings)

    return open_it


@pytest.fixture
def job(job_of: JobOf) -> JobStore:
    """Two checkpoints, of step 10 and step 20."""
    job = job_of()
    saving.save(job, saving.begin(job), 10)
    saving.save(job, 1, 20)
    return job


@pytest.fixture
def children(place: Place) -> Iterator[Children]:
    """Real processes that write to the same place; none outlives its test."""
    with Children(place) as running:
        yield running
