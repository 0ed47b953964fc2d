"""The records of a job in its folder: owner, attempts, outcome. Each is created once and read strictly."""

import uuid
from collections.abc import Callable
from typing import TypeVar

from ultrathink_api.base import Section
from ultrathink_store import layout
from ultrathink_store.backend import Exists, Fetched, Missing, Store
from ultrathink_store.records import CheckpointRef, End, Epoch, Outcome, Owner, Start, Unreadable, decode, encode
from ultrathink_store.refusals import corrupt_record

Record = TypeVar("Record", bound=Section)


class EpochTaken(Exception):
    """Somebody else took that epoch, or a newer one."""

    def __init__(self, number: int, newest: int) -> None:
        super().__init__(f"epoch {number} cannot be taken; the newest is {newest}")
        self.newest = newest


class Ledger:
    """What lies in a job's folder beside its checkpoints."""

    def __init__(self, store: Store, token: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self.store = store
        self._token = token
        self._starts: dict[tuple[str, int], Start] = {}  # a START never changes, so it is read once

    def owner(self) -> tuple[Owner, str] | None:
        """The owner and the tag to replace it by."""
        fetched = self._fetch(layout.OWNER)
        return (self._decode(Owner, layout.OWNER, fetched.data), fetched.etag) if fetched else None

    def create_owner(self, owner: Owner) -> None:
        """Raises `Exists`."""
        self.store.create(layout.OWNER, encode(owner))

    def replace_owner(self, owner: Owner, etag: str) -> None:
        """Raises `Changed`."""
        self.store.replace(layout.OWNER, encode(owner), etag)

    def uids(self) -> tuple[str, ...]:
        """Everybody who ever wrote here."""
        return tuple(name for name in self.store.folders() if layout.is_uid(name))

    def starts(self, uid: str) -> dict[int, Start]:
        """The epochs taken, in order. A folder without START is a claimant that died on the way: not taken."""
        folders = (layout.epoch_number(name) for name in self.store.folders(uid))
        numbers = sorted(number for number in folders if number is not None)
        found = ((number, self._start(uid, number)) for number in numbers)
        return {number: start for number, start in found if start is not None}

    def epochs(self, uid: str) -> list[Epoch]:
        return [
            Epoch(number=number, start=start, end=self._read(End, f"{layout.epoch_folder(uid, number)}/{layout.END}"))
            for number, start in self.starts(uid).items()
        ]

    def take(self, uid: str, number: int, start: Start) -> None:
        """Takes the epoch after the newest. Raises `EpochTaken`."""
        newest = max(self.starts(uid), default=0)
        if number <= newest:
            raise EpochTaken(number, newest)
        if number != newest + 1 or start.epoch != number:
            raise ValueError(f"the epoch after {newest} is {newest + 1}, not {number} (START says {start.epoch})")
        key = f"{layout.epoch_folder(uid, number)}/{layout.START}"
        mine = start.model_copy(update={"token": self._token()})
        if self.create(key, mine) != mine:
            raise EpochTaken(number, number)

    def end(self, uid: str, number: int, end: End) -> End:
        """The first to say how an attempt ended is believed."""
        return self.create(f"{layout.epoch_folder(uid, number)}/{layout.END}", end)

    def outcome(self, uid: str) -> Outcome | None:
        return self._read(Outcome, f"{uid}/{layout.OUTCOME}")

    def write_outcome(self, uid: str, outcome: Outcome) -> Outcome:
        return self.create(f"{uid}/{layout.OUTCOME}", outcome)

    def latest(self, uid: str) -> CheckpointRef | None:
        """What LATEST says, if it can be read: a hint, never where a restore reads from."""
        fetched = self._fetch(f"{uid}/{layout.LATEST}")
        try:
            return decode(CheckpointRef, fetched.data) if fetched else None
        except Unreadable:
            return None

    def create(self, key: str, record: Record) -> Record:
        """Creates a record and returns what is there then: ours, or that of somebody who was first.

        A request whose answer was lost and that was sent again finds its own record: also ours.
        """
        try:
            self.store.create(key, encode(record))
            return record
        except Exists:
            found = self._read(type(record), key)
            assert found is not None, f"{key} exists and cannot be found"
            return found

    def _start(self, uid: str, number: int) -> Start | None:
        known = self._starts.get((uid, number))
        if known is not None:
            return known
        key = f"{layout.epoch_folder(uid, number)}/{layout.START}"
        start = self._read(Start, key)
        if start is None:
            return None
        if start.epoch != number:
            raise corrupt_record(self.store, key, f"it speaks of epoch {start.epoch}")
        return self._starts.setdefault((uid, number), start)

    def _read(self, kind: type[Record], key: str) -> Record | None:
        fetched = self._fetch(key)
        return self._decode(kind, key, fetched.data) if fetched else None

    def _fetch(self, key: str) -> Fetched | None:
        try:
            return self.store.fetch(key)
        except Missing:
            return None

    def _decode(self, kind: type[Record], key: str, data: bytes) -> Record:
        try:
            return decode(kind, data)
        except Unreadable as error:
            raise corrupt_record(self.store, key, str(error)) from error
