"""F45 for real: a writer is killed at each of its requests; what it left is invisible, and collected later."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.store import saving
from integration.store.children import Children, Place
from testbed.s3proxy import S3Proxy
from ultrathink_store import JobStore, open_job, sweep
from ultrathink_store.retention import YOUNGEST, Keep

if TYPE_CHECKING:
    from testbed.s3 import S3Server

DEADLINE_SECONDS = 120.0
MOST_WRITES = 12
"""A shard, a multipart upload of two parts with its begin and its end, manifest and LATEST: fewer than that."""


@pytest.fixture
def proxy(s3_server: "S3Server") -> Iterator[S3Proxy]:
    with S3Proxy(s3_server.endpoint) as running:
        yield running


@pytest.fixture
def credentials(s3_server: "S3Server", tmp_path: Path) -> str:
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text(s3_server.access_key)
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text(s3_server.secret_key)
    return str(tmp_path)


@pytest.mark.fault("F45")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_writer_killed_at_any_request_leaves_nothing_that_counts(
    when: str, s3_server: "S3Server", proxy: S3Proxy, credentials: str
) -> None:
    if os.environ.get("UTK_TEST_S3_ENDPOINT"):
        pytest.skip("the clock of a foreign server is not ours to turn")
    bucket = s3_server.bucket()
    direct = Place(f"s3://{bucket}/runs", s3_server.endpoint, credentials)
    job = open_job(direct.uri, "team-a", "moe", "uid-1", direct.settings())
    saving.begin(job)
    saving.save(job, 1, 10)
    committed = False
    for at in range(1, MOST_WRITES):
        step = 100 + at
        proxy.fail("hold", at=at, when=when, step=step)
        if not _killed(Place(direct.uri, proxy.endpoint, credentials), proxy, step):
            assert at > 6, "each request was held once"
            break
        folder = f"uid-1/epoch-1/step-{step}"
        committed = job.store.head(f"{folder}/MANIFEST.json") is not None
        if not committed:
            assert saving.restore(job) == 10, f"write {at} held {when}: torn, so invisible"
        else:
            assert saving.restore(job) == step, f"write {at} held {when}: nothing of it was missing"
    else:
        raise AssertionError("the writer never came through")
    assert committed == (when == "after") or committed, "the last requests come after the manifest"

    _age(s3_server.folder / "data" / bucket)
    for step in (1000, 1001):
        saving.save(job, 1, step)
    sweep.sweep(job, 1, Keep(last=2))
    left = {key.key.split("/")[2] for key in job.store.list("uid-1/epoch-1") if "step-" in key.key}
    assert left == {"step-1000", "step-1001"}
    for found in job.store.unfinished():
        job.store.abort(found)  # their age is the server's own, and young
    assert _parts(s3_server.folder / "data" / bucket) == []


def _killed(place: Place, proxy: S3Proxy, step: int) -> bool:
    """Whether the writer was held and killed; False if it came through."""
    held = proxy._folder / "held"
    held.unlink(missing_ok=True)
    with Children(place) as children:
        child = children.start("save", epoch=1, step=step)
        until = time.monotonic() + DEADLINE_SECONDS
        while child.alive() and not proxy.held:
            assert time.monotonic() < until, "it was neither held nor did it end"
            time.sleep(0.02)
        return proxy.held


def _age(root: Path) -> None:
    then = time.time() - 2 * YOUNGEST.total_seconds()
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def _parts(root: Path) -> list[Path]:
    """What multipart uploads left on the server's disk."""
    return [path for path in (root / ".sgwtmp").rglob("*") if path.is_file()]


def test_the_checkpoint_of_a_writer_that_came_through_is_whole(job_store_of_bucket: JobStore) -> None:
    saving.begin(job_store_of_bucket)
    ref = saving.save(job_store_of_bucket, 1, 10)
    assert job_store_of_bucket.verify(ref).ok


@pytest.fixture
def job_store_of_bucket(s3_server: "S3Server", proxy: S3Proxy, credentials: str) -> JobStore:
    """Through the proxy, with nothing broken."""
    place = Place(f"s3://{s3_server.bucket()}/runs", proxy.endpoint, credentials)
    return open_job(place.uri, "team-a", "moe", "uid-1", place.settings())
