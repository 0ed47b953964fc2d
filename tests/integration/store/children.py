"""Child processes of the store's tests: each writes like a rank or a supervisor, up to a point that the test names."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ultrathink_store import JobStore, Start, StorageSettings, open_job
from ultrathink_store.ledger import EpochTaken


@dataclass(frozen=True)
class Place:
    """A checkpoint.uri and how to reach it; plain, so that it can be handed to a child."""

    uri: str
    endpoint: str | None
    credentials: str | None

    def settings(self) -> StorageSettings:
        return StorageSettings(
            endpoint=self.endpoint,
            addressing="path",
            credentials=Path(self.credentials) if self.credentials else None,
        )


class Running:
    """One child: says a line when it has come to a point, and waits there for a line from us."""

    def __init__(self, place: Place, role: str, **arguments: Any) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "integration.store.children",
                role,
                json.dumps(asdict(place)),
                json.dumps(arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def hears(self) -> str:
        """The child's next line; empty when it ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def goes_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Children:
    """All children of one test."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def start(self, role: str, **arguments: Any) -> Running:
        self._running.append(Running(self._place, role, **arguments))
        return self._running[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._running:
            child.close()


class PausedBeforeManifest:
    """A real store whose user is held up between its last check and its manifest's PUT."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> None:
        if key.endswith("MANIFEST.json"):
            wait_here("paused")
        self._store.create(key, data)


def wait_here(point: str) -> None:
    print(point, flush=True)
    sys.stdin.readline()


def tear(place: Place, epoch: int, step: int, whole: int, ranks: int) -> None:
    """Writes `whole` shards and half of the next, or all but the manifest, and waits to be killed."""
    from integration.store import saving
    from ultrathink_store import Part

    job = open_job(place.uri, "team-a", "moe", "uid-1", place.settings())
    for _ in saving.write(job, epoch, step, whole):
        pass
    if whole == ranks:
        wait_here("torn")
        return
    size = 24 << 20  # more than one part of a multipart upload, so that half of it is on the server
    with job.shard_writer(epoch, step, whole, [Part("torn", "U8", (size,), (0,), (size,))]) as writer:
        writer.write(bytes(size * 3 // 4))
        wait_here("torn")


def save(place: Place, epoch: int, step: int) -> None:
    """Saves two shards, the second in several parts, and commits."""
    from integration.store import saving
    from ultrathink_store import Part

    job = open_job(place.uri, "team-a", "moe", "uid-1", place.settings())
    shards = list(saving.write(job, epoch, step, 1))
    size = 24 << 20
    with job.shard_writer(epoch, step, 1, [Part("big", "U8", (size,), (0,), (size,))]) as writer:
        writer.write(bytes(size))
    job.commit(epoch, step, saving.manifest(job, epoch, step, [*shards, writer.shard]))
    print("saved", flush=True)


def commit_late(place: Place, epoch: int, step: int) -> None:
    """Commits with a pause before the manifest."""
    from integration.store import saving

    job = open_job(place.uri, "team-a", "moe", "uid-1", place.settings())
    saving.save(JobStore(PausedBeforeManifest(job.store), job.uid), epoch, step)
    wait_here("committed")


def race(place: Place, rounds: int) -> None:
    """Takes one epoch a round as soon as it is told to."""
    job = open_job(place.uri, "team-a", "moe", "uid-1", place.settings())
    for number in range(1, rounds + 1):
        wait_here("ready")
        try:
            job.take_epoch(number, Start(epoch=number, created_at="the same"))
            print("won", flush=True)
        except EpochTaken:
            print("lost", flush=True)


def main() -> None:
    role, place, arguments = sys.argv[1:]
    roles = {"tear": tear, "save": save, "commit_late": commit_late, "race": race}
    roles[role](Place(**json.loads(place)), **json.loads(arguments))


if __name__ == "__main__":
    main()
