"""From a URI to a store that answers, or to a coded reason why not."""

import re
import secrets
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from ultrathink_api.errors import Refused
from ultrathink_store.backend import FIELD, Changed, Exists, Missing, StorageSettings, Store

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
T = TypeVar("T")

_PROBE_BODY = b"A job of UltraThink tried whether it can keep checkpoints here."


def open_store(uri: str, settings: StorageSettings | None = None) -> Store:
    """The store at `file:///folder` or `s3://bucket/prefix`; an S3 server is asked at once whether it knows us."""
    scheme, separator, rest = uri.partition("://")
    settings = settings or StorageSettings()
    if not separator or scheme not in ("file", "s3"):
        raise _unfit(uri, "it begins neither with file:// nor with s3://")
    _refuse_climbing(uri, rest)
    if scheme == "file":
        return _open_file(uri, rest, settings)
    return _open_s3(uri, rest, settings)


def probe(store: Store, token: str | None = None) -> None:
    """Does all that a job will do there, on an object of its own, and names what is missing."""
    key = f"PROBE-{token or secrets.token_hex(8)}"
    try:
        _step(store, "create an object", lambda: _create(store, key))
        _step(store, "refuse a second create", lambda: _must_raise(Exists, lambda: store.create(key, b"twice")))
        etag = _step(store, "read an object", lambda: store.fetch(key).etag)
        same = _step(store, "read a range of an object", lambda: store.read(key, 2, 3) == _PROBE_BODY[2:5])
        _require(store, "read a range of an object", same)
        _step(store, "replace an object", lambda: store.replace(key, _PROBE_BODY[::-1], etag))
        _step(store, "refuse an outdated replace", lambda: _must_raise(Changed, lambda: store.replace(key, b"", etag)))
        found = _step(store, "list objects", lambda: any(entry.key == key for entry in store.list()))
        _require(store, "list objects", found)
    except BaseException:
        _discard(store, key)
        raise
    _step(store, "delete an object", lambda: store.delete(key))


def _create(store: Store, key: str) -> None:
    """The key is ours alone: what stands there is our own write, whose answer was lost."""
    try:
        store.create(key, _PROBE_BODY)
    except Exists:
        if store.fetch(key).data != _PROBE_BODY:
            raise


def _open_file(uri: str, rest: str, settings: StorageSettings) -> Store:
    from ultrathink_store.files import FileStore

    path = rest.removeprefix("localhost")
    if not path.startswith("/"):
        raise _unfit(uri, "a file URI names an absolute path, with three slashes: file:///home/me/runs")
    root = Path(path)
    if root.exists() and not root.is_dir():
        raise Refused.of(
            "UTK0302",
            field=FIELD,
            message=f"{uri} is a file, not a folder",
            fix="name a folder, which need not exist yet",
        )
    return FileStore(root, settings)


def _open_s3(uri: str, rest: str, settings: StorageSettings) -> Store:
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise _unfit(uri, f"{bucket!r} is not a name that a bucket can have")
    if find_spec("boto3") is None:
        raise Refused.of(
            "UTK0301",
            field=FIELD,
            message=f"{uri} needs boto3, which is not installed",
            fix="pip install 'ultrathink[cli]'",
        )
    from ultrathink_store.s3 import S3Store

    store = S3Store(bucket, prefix.strip("/"), settings)
    store.check()
    return store


def _refuse_climbing(uri: str, rest: str) -> None:
    parts = rest.rstrip("/").split("/")
    if any(part in (".", "..") for part in parts) or "" in parts[1:]:
        raise _unfit(uri, "it holds an empty part, . or ..")
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in rest):
        raise _unfit(uri, "it holds a control character")


def _unfit(uri: str, why: str) -> Refused:
    return Refused.of(
        "UTK0123",
        field=FIELD,
        message=f"{uri!r} cannot be used: {why}",
        fix="write file:///folder or s3://bucket/prefix",
    )


def _step(store: Store, what: str, act: Callable[[], T]) -> T:
    try:
        return act()
    except Refused as refused:
        problem = refused.problem
        raise Refused.of(
            problem.code,
            field=FIELD,
            message=f"{store.uri} does not let us {what}: {problem.message}",
            fix=problem.fix,
        ) from refused
    except (Missing, Exists, Changed) as surprise:
        raise _cannot(store, what) from surprise


def _must_raise(kind: type[Exception], act: Callable[[], None]) -> None:
    try:
        act()
    except kind:
        return
    raise Missing("the condition was ignored")


def _require(store: Store, what: str, held: bool) -> None:
    if not held:
        raise _cannot(store, what)


def _cannot(store: Store, what: str) -> Refused:
    return Refused.of(
        "UTK0307",
        field=FIELD,
        message=f"{store.uri} cannot {what}",
        fix="use a store with conditional writes, ranged reads and consistent listings",
        why="without them two attempts could write one checkpoint, or a lost one could look whole",
    )


def _discard(store: Store, key: str) -> None:
    """Leaves nothing of a failed probe where that can be helped; the probe's own failure is the one to tell."""
    try:
        store.delete(key)
    except Refused:
        return
