"""What a place for checkpoints can do: the protocol that every backend keeps, and the ways in which it says no."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias

BytesLike: TypeAlias = bytes | bytearray | memoryview

FIELD = "spec.checkpoint.uri"
"""The field of a job that names the store: what every refusal of a store points at."""

# No leading dot: what begins with one is a backend's own (locks, unfinished writes), and `..` cannot be said.
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,254}")


class Exists(Exception):
    """A create found its key taken."""


class Changed(Exception):
    """A replace found another content than the one it was made from."""


class Missing(Exception):
    """A read found nothing."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """How to reach an S3 server that is not plain AWS, and how long to wait for it."""

    endpoint: str | None = None
    region: str | None = None
    addressing: Literal["path", "virtual", "auto"] = "auto"
    credentials: Path | None = None
    """Folder with files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, perhaps AWS_SESSION_TOKEN; else the usual chain."""
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    attempts: int = 4
    """Tries of one request: rides out a slow-down of seconds, and still ends."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object, as a listing knows it."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A write that was begun and not ended; whoever began it may be dead."""

    key: str
    handle: str
    began: datetime


class Fetched(NamedTuple):
    """A content and the tag that `replace` wants to see unchanged."""

    data: bytes
    etag: str


class Writer(Protocol):
    """One object in the making."""

    def write(self, data: BytesLike) -> None: ...


class Store(Protocol):
    """Objects below one URI. Keys are relative to it. All failures but the three above are `Refused`."""

    uri: str

    def read(self, key: str, start: int | None = None, length: int | None = None) -> bytes:
        """The content, or `length` bytes of it from `start`; fewer where the object ends. Raises `Missing`."""
        ...

    def fetch(self, key: str) -> Fetched:
        """A small object together with its tag. Raises `Missing`."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Puts a small object, whatever was there."""
        ...

    def create(self, key: str, data: bytes) -> None:
        """Puts a small object where none is, atomically. Raises `Exists`."""
        ...

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Puts a small object over the one that was fetched. Raises `Changed`."""
        ...

    def head(self, key: str) -> Entry | None:
        """What a listing would say of it."""
        ...

    def list(self, folder: str = "") -> Iterator[Entry]:
        """Every object below a folder, at any depth, in the order of keys."""
        ...

    def folders(self, folder: str = "") -> tuple[str, ...]:
        """Names of the folders right below a folder, in order."""
        ...

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is no failure."""
        ...

    def writer(self, key: str, size: int) -> AbstractContextManager[Writer]:
        """Streams `size` bytes into a new object, which appears whole at the end or, on an exception, never.

        Raises `Exists`, at the start or at the end, where the key is taken.
        """
        ...

    def unfinished(self, folder: str = "") -> Iterator[Unfinished]:
        """Streamed writes below a folder that have not ended."""
        ...

    def abort(self, found: Unfinished) -> None:
        """Throws an unfinished write away; one that is not there any more is no failure."""
        ...

    def other(self, uri: str) -> "Store":
        """The store at another URI, reached by the same settings."""
        ...


def checked(key: str) -> str:
    """The key itself; keys come from `layout`, so a bad one is a bug of ours and not of a user."""
    assert all(_SEGMENT.fullmatch(part) for part in key.split("/")), f"not a key: {key!r}"
    return key


def usable(name: str) -> bool:
    """Whether a name found in a store could be part of a key."""
    return _SEGMENT.fullmatch(name) is not None
