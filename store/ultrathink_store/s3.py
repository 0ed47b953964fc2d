"""Checkpoints in an S3 server: conditional PUTs, multipart uploads that leave nothing behind, bounded waits."""

import base64
import contextlib
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ultrathink_store.backend import (
    BytesLike,
    Changed,
    Entry,
    Exists,
    Fetched,
    Missing,
    StorageSettings,
    Store,
    Unfinished,
    Writer,
    checked,
    usable,
)
from ultrathink_store.s3errors import answer_code, coded

PART_BYTES = 16 << 20
"""A part of a multipart upload: S3 wants at least 5 MiB; more keeps fewer requests, less keeps less in memory."""
PARTS = 9_000
"""Parts of one upload at most; S3 ends at 10,000."""
CONFLICT_TRIES = 5
CONFLICT_WAIT_S = 0.1
"""A conditional PUT that meets another under way is answered 409: neither taken nor free yet, so it is asked again."""
DEFAULT_REGION = "us-east-1"

_TAKEN = {"PreconditionFailed", "412"}
_CONFLICT = {"ConditionalRequestConflict", "OperationAborted", "409"}
_GONE = {"NoSuchKey", "404"}
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
}


class S3Store:
    """Objects below one prefix of one bucket."""

    def __init__(
        self, bucket: str, prefix: str, settings: StorageSettings, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._settings = settings
        self._sleep = sleep
        with coded(self.uri, "reach"):
            self._client = client(settings)

    def check(self) -> None:
        """One small listing: it tells a missing bucket, wrong credentials and a dead address apart."""
        with coded(self.uri, "list"):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def read(self, key: str, start: int | None = None, length: int | None = None) -> bytes:
        if length == 0:
            return b""
        return self._get(key, start, length).data

    def fetch(self, key: str) -> Fetched:
        return self._get(key, None, None)

    def write(self, key: str, data: bytes) -> None:
        with coded(self._at(key), "write"):
            self._put(key, data)

    def create(self, key: str, data: bytes) -> None:
        self._put_if(key, data, Exists(key), IfNoneMatch="*")

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._put_if(key, data, Changed(key), IfMatch=etag)

    def head(self, key: str) -> Entry | None:
        with coded(self._at(key), "read"):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
            except self._client.exceptions.ClientError as error:
                if answer_code(error) in _GONE:
                    return None
                if answer_code(error) == "403":  # the answer to a HEAD has no body, so it cannot say why
                    self.read(key, 0, 1)
                raise
        return Entry(key, int(answer["ContentLength"]), answer["LastModified"])

    def list(self, folder: str = "") -> Iterator[Entry]:
        with coded(self._at(folder), "list"):
            for page in self._pages(folder):
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._prefix)
                    if all(usable(part) for part in key.split("/")):
                        yield Entry(key, int(found["Size"]), found["LastModified"])

    def folders(self, folder: str = "") -> tuple[str, ...]:
        with coded(self._at(folder), "list"):
            names = (
                found["Prefix"].rstrip("/").rpartition("/")[2]
                for page in self._pages(folder, Delimiter="/")
                for found in page.get("CommonPrefixes", ())
            )
            return tuple(sorted(name for name in names if usable(name)))

    def delete(self, key: str) -> None:
        with coded(self._at(key), "delete"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    @contextlib.contextmanager
    def writer(self, key: str, size: int) -> Iterator[Writer]:
        if self.head(key) is not None:  # the condition at the end decides; this saves the upload
            raise Exists(key)
        part_bytes = max(PART_BYTES, math.ceil(size / PARTS))
        if size <= part_bytes:
            small = _Small()
            yield small
            assert len(small.data) == size, f"{key} was announced with {size} bytes and got {len(small.data)}"
            self.create(key, bytes(small.data))
            return
        with _Multipart(self._client, self._bucket, self._key(key), self._at(key), part_bytes) as upload:
            yield upload
            assert upload.size == size, f"{key} was announced with {size} bytes and got {upload.size}"
            upload.complete()

    def unfinished(self, folder: str = "") -> Iterator[Unfinished]:
        prefix = f"{self._key(folder)}/" if folder else self._prefix
        pages = self._client.get_paginator("list_multipart_uploads")
        with coded(self._at(folder), "list the unfinished uploads of"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Uploads", ()):
                    key = found["Key"].removeprefix(self._prefix)
                    yield Unfinished(key, found["UploadId"], found["Initiated"])

    def abort(self, found: Unfinished) -> None:
        with coded(self._at(found.key), "abort the upload of"):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._prefix + found.key, UploadId=found.handle
                )
            except self._client.exceptions.ClientError as error:
                if answer_code(error) not in {"NoSuchUpload", *_GONE}:
                    raise

    def other(self, uri: str) -> Store:
        from ultrathink_store.opening import open_store

        return open_store(uri, self._settings)

    def _key(self, key: str) -> str:
        return self._prefix + checked(key)

    def _at(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def _pages(self, folder: str, **more: Any) -> Any:
        prefix = f"{self._key(folder)}/" if folder else self._prefix
        return self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, **more)

    def _get(self, key: str, start: int | None, length: int | None) -> Fetched:
        more = {}
        if start is not None or length is not None:
            first = start or 0
            more["Range"] = f"bytes={first}-" if length is None else f"bytes={first}-{first + length - 1}"
        with coded(self._at(key), "read"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key), **more)
            except self._client.exceptions.ClientError as error:
                code = answer_code(error)
                if code in _GONE:
                    raise Missing(key) from error
                if code in {"InvalidRange", "416"}:  # begins behind the object's end
                    return Fetched(b"", "")
                raise
            return Fetched(answer["Body"].read(), answer["ETag"])

    def _put(self, key: str, data: bytes, **condition: str) -> None:
        self._client.put_object(
            Bucket=self._bucket, Key=self._key(key), Body=data, ContentMD5=content_md5(data), **condition
        )

    def _put_if(self, key: str, data: bytes, no: Exists | Changed, **condition: str) -> None:
        with coded(self._at(key), "write"):
            for again in range(1, CONFLICT_TRIES + 1):
                try:
                    self._put(key, data, **condition)
                    return
                except self._client.exceptions.ClientError as error:
                    code = answer_code(error)
                    if code in _TAKEN or (code in _GONE and isinstance(no, Changed)):
                        raise no from error
                    if code not in _CONFLICT or again == CONFLICT_TRIES:
                        raise
                    self._sleep(CONFLICT_WAIT_S * again)


class _Small:
    """What one PUT can carry."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: BytesLike) -> None:
        self.data += data


class _Multipart:
    """One multipart upload: completed where no object is, aborted on any exception."""

    def __init__(self, client: Any, bucket: str, key: str, at: str, part_bytes: int) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        self._at = at
        self._part_bytes = part_bytes
        self._waiting = bytearray()
        self._parts: list[dict[str, Any]] = []
        self.size = 0

    def __enter__(self) -> Self:
        with coded(self._at, "write"):
            self._object["UploadId"] = self._client.create_multipart_upload(**self._object)["UploadId"]
        return self

    def write(self, data: BytesLike) -> None:
        view = memoryview(data).cast("B")
        self.size += view.nbytes
        while view.nbytes:
            taken = view[: self._part_bytes - len(self._waiting)]
            self._waiting += taken
            view = view[taken.nbytes :]
            if len(self._waiting) == self._part_bytes:
                self._send()

    def complete(self) -> None:
        if self._waiting:
            self._send()
        with coded(self._at, "write"):
            try:
                self._client.complete_multipart_upload(
                    **self._object, MultipartUpload={"Parts": self._parts}, IfNoneMatch="*"
                )
            except self._client.exceptions.ClientError as error:
                if answer_code(error) in _TAKEN:
                    raise Exists(self._at) from error
                raise

    def _send(self) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        number = len(self._parts) + 1
        with coded(self._at, "write"):
            answer = self._client.upload_part(
                **self._object, PartNumber=number, Body=data, ContentMD5=content_md5(data)
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        from botocore.exceptions import BotoCoreError, ClientError

        # The first failure is the one to tell; parts that a dead server keeps are the bucket's lifecycle rule's.
        with contextlib.suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**self._object)


def content_md5(data: bytes) -> str:
    """A checksum of the way that every S3 server knows; what guards the content for good is the manifest's sha256."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def client(settings: StorageSettings) -> Any:
    """A client of our settings; what they leave open, the usual AWS variables, files and identities say."""
    import boto3
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": settings.addressing},
        connect_timeout=settings.connect_seconds,
        read_timeout=settings.read_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        # The newer checksums of AWS are not known to many other S3 servers; we send Content-MD5 ourselves.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or DEFAULT_REGION,
        config=config,
        **(_mounted(settings.credentials) if settings.credentials else {}),
    )


def _mounted(folder: Path) -> dict[str, str]:
    return {
        argument: (folder / name).read_text().strip()
        for name, argument in _CREDENTIALS.items()
        if (folder / name).is_file()
    }
