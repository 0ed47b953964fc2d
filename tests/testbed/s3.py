"""A real S3 server for tests (versitygw), or the one that UTK_TEST_S3_ENDPOINT names."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from testbed.binaries import binary
from testbed.child import Child, Died, free_port, listens

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READY_S = 30.0
TRIES = 3  # a port found free can be taken by somebody else before we listen on it
REGION = "us-east-1"


class S3Server:
    """`with S3Server() as s3:` serves until the block, or this process, ends.

    An external one takes UTK_TEST_S3_ACCESS_KEY and UTK_TEST_S3_SECRET_KEY, or the usual AWS variables.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self._external = os.environ.get("UTK_TEST_S3_ENDPOINT")
        self._child: Child | None = None
        self.region = os.environ.get("AWS_REGION", REGION) if self._external else REGION
        self.access_key = self._credential("UTK_TEST_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "testbed")
        self.secret_key = self._credential("UTK_TEST_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "testbed-secret")

    def __enter__(self) -> Self:
        if self._external:
            self.endpoint = self._external
            return self
        self.folder = Path(tempfile.mkdtemp(prefix="utk-s3-"))
        try:
            for attempt in range(1, TRIES + 1):
                self._port = free_port(self._host)
                self.endpoint = f"http://{self._host}:{self._port}"
                try:
                    self.start()
                    break
                except Died:
                    if attempt == TRIES:
                        raise
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._external:
            return
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Also after stop(), on the same port with the same data: the end of an outage."""
        assert not self._external, "an external S3 server is not ours to start"
        data, accounts = self.folder / "data", self.folder / "accounts"
        data.mkdir(exist_ok=True)
        accounts.mkdir(exist_ok=True)
        self._child = Child(
            [binary("versitygw"), "--port", f"{self._host}:{self._port}", "--iam-dir", accounts, "posix", data],
            log=self.folder / "versitygw.log",
            env={"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
        )
        self._child.wait_until(lambda: listens(self._host, self._port), READY_S)

    def stop(self) -> None:
        assert not self._external, "an external S3 server is not ours to stop"
        if self._child:
            self._child.kill()  # an outage gives no notice either

    def bucket(self) -> str:
        """Makes a new, empty bucket and returns its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self, **overrides: Any) -> "S3Client":
        import boto3
        from botocore.config import Config

        settings: dict[str, Any] = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "config": Config(s3={"addressing_style": "path"}),
        }
        return boto3.client("s3", **{**settings, **overrides})

    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }

    def _credential(self, ours: str, usual: str, default: str) -> str:
        if not self._external:
            return default
        return os.environ.get(ours) or os.environ.get(usual) or default
