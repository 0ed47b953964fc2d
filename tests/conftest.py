"""Fixtures for every kind of test; what they need is built on demand and imported only when a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.s3 import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator["S3Server"]:
    """A real S3 server, one for the session: take a `bucket()` of your own."""
    from testbed.needs import require
    from testbed.s3 import S3Server

    server = require(S3Server().__enter__)
    yield server
    server.__exit__()


@pytest.fixture
def s3_bucket(s3_server: "S3Server") -> str:
    """The name of a fresh bucket."""
    return s3_server.bucket()
