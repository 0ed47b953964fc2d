"""Checkpoints in a file system: a create is an exclusive link, so an object is there whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ultrathink_api.errors import Refused
from ultrathink_store.backend import (
    FIELD,
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

_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT}
UNFINISHED = ".unfinished-"
"""Begins the name of a file that is not whole yet; no listing shows it."""
_NO_FOLDER = {errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG}


class FileStore:
    """Objects below one folder of this machine, or of a file system that its nodes share."""

    def __init__(self, root: Path, settings: StorageSettings) -> None:
        self.uri = f"file://{root}"
        self._root = root
        self._settings = settings

    def read(self, key: str, start: int | None = None, length: int | None = None) -> bytes:
        with self._coded("read", key), self._path(key).open("rb") as file:
            file.seek(start or 0)
            return file.read(-1 if length is None else length)

    def fetch(self, key: str) -> Fetched:
        data = self.read(key)
        return Fetched(data, _etag(data))

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._coded("write", key), _Unfinished(path) as unfinished:
            unfinished.write(data)
            unfinished.replace()

    def create(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._coded("create", key), _Unfinished(path) as unfinished:
            unfinished.write(data)
            unfinished.link()

    def replace(self, key: str, data: bytes, etag: str) -> None:
        path = self._path(key)
        # The kernel lets go of the lock when its holder dies, so a killed writer blocks nobody.
        with self._coded("replace", key), _lock(path):
            try:
                current = _etag(path.read_bytes())
            except FileNotFoundError as gone:
                raise Changed(key) from gone
            if current != etag:
                raise Changed(key)
            with _Unfinished(path) as unfinished:
                unfinished.write(data)
                unfinished.replace()

    def head(self, key: str) -> Entry | None:
        try:
            with self._coded("read", key):
                return self._entry(self._path(key))
        except Missing:
            return None

    def list(self, folder: str = "") -> Iterator[Entry]:
        root = self._path(folder) if folder else self._root
        with self._coded("list", folder):
            paths = [
                Path(parent, name)
                for parent, folders, names in os.walk(root, onerror=_unless_missing)
                if _keep_usable(folders)
                for name in names
                if usable(name)
            ]
        for path in sorted(paths, key=lambda path: path.relative_to(self._root).as_posix()):
            with contextlib.suppress(FileNotFoundError):  # deleted while we listed: not there
                yield self._entry(path)

    def folders(self, folder: str = "") -> tuple[str, ...]:
        root = self._path(folder) if folder else self._root
        if not root.exists():
            return ()
        with self._coded("list", folder), os.scandir(root) as found:
            return tuple(sorted(entry.name for entry in found if usable(entry.name) and entry.is_dir()))

    def delete(self, key: str) -> None:
        with self._coded("delete", key):
            path = self._path(key)
            path.unlink(missing_ok=True)
            # A folder exists by what is in it, as in a bucket.
            if path.parent != self._root:
                with contextlib.suppress(OSError):
                    path.parent.rmdir()

    @contextlib.contextmanager
    def writer(self, key: str, size: int) -> Iterator[Writer]:
        path = self._path(key)
        if path.exists():
            raise Exists(key)
        with contextlib.ExitStack() as stack:
            with self._coded("write", key):
                unfinished = stack.enter_context(_Unfinished(path))
            yield _Coded(unfinished, lambda: self._coded("write", key))
            assert unfinished.size == size, f"{key} was announced with {size} bytes and got {unfinished.size}"
            with self._coded("write", key):
                unfinished.link()

    def unfinished(self, folder: str = "") -> Iterator[Unfinished]:
        root = self._path(folder) if folder else self._root
        with self._coded("list", folder):
            paths = [
                Path(parent, name)
                for parent, folders, names in os.walk(root, onerror=_unless_missing)
                if _keep_usable(folders)
                for name in names
                if name.startswith(UNFINISHED)
            ]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # ended while we looked
                entry = self._entry(path)
                yield Unfinished(entry.key, entry.key, entry.modified)

    def abort(self, found: Unfinished) -> None:
        with self._coded("delete", found.key):
            (self._root / found.handle).unlink(missing_ok=True)

    def other(self, uri: str) -> Store:
        from ultrathink_store.opening import open_store

        return open_store(uri, self._settings)

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _entry(self, path: Path) -> Entry:
        stat = path.stat()
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        return Entry(path.relative_to(self._root).as_posix(), stat.st_size, modified)

    @contextlib.contextmanager
    def _coded(self, doing: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError as taken:
            raise Exists(key) from taken
        except OSError as error:
            if doing == "read" and isinstance(error, FileNotFoundError):
                raise Missing(key) from error
            raise _refused(error, f"{self.uri}/{key}", doing) from error


class _Coded:
    """The writer that a caller sees: failures of the disk get their code, failures of the caller keep their own."""

    def __init__(self, unfinished: "_Unfinished", coded: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._unfinished = unfinished
        self._coded = coded

    def write(self, data: BytesLike) -> None:
        with self._coded():
            self._unfinished.write(data)


class _Unfinished:
    """A file under a name that no listing shows, until it is linked or renamed to its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        self.size = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        while True:
            _make_folder(self._path.parent)
            # A folder that was left empty is removed by whoever emptied it, perhaps just now.
            with contextlib.suppress(FileNotFoundError):
                self._file = self._unfinished.open("xb")
                return self

    def write(self, data: BytesLike) -> None:
        assert self._file is not None
        self._file.write(data)
        self.size += memoryview(data).nbytes

    def link(self) -> None:
        self._flush()
        os.link(self._unfinished, self._path)  # fails where the name is taken, atomically
        _sync_folder(self._path.parent)

    def replace(self) -> None:
        self._flush()
        self._unfinished.replace(self._path)
        _sync_folder(self._path.parent)

    def _flush(self) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as file:
        raise NotADirectoryError(errno.ENOTDIR, "a file stands in the place of a folder", str(folder)) from file


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    _make_folder(path.parent)
    with path.with_name(f".lock-{path.name}").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    """A new name survives a power loss only once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep_usable(folders: list[str]) -> bool:
    folders[:] = [name for name in folders if usable(name)]
    return True


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _refused(error: OSError, uri: str, doing: str) -> Refused:
    reason = error.strerror or type(error).__name__
    if error.errno in _READ_ONLY:
        return Refused.of(
            "UTK0304",
            field=FIELD,
            message=f"may not {doing} {uri}: {reason}",
            fix="give this user the right to that folder, or name another one",
        )
    if error.errno in _FULL:
        return Refused.of(
            "UTK0306",
            field=FIELD,
            message=f"no space left to {doing} {uri}: {reason}",
            fix="make room, or name another store",
        )
    if error.errno in _NO_FOLDER:
        return Refused.of("UTK0302", field=FIELD, message=f"{uri} is not below a folder: {reason}", fix="name a folder")
    return Refused.of(
        "UTK0308", field=FIELD, message=f"could not {doing} {uri}: {reason}", fix="see to the file system"
    )
