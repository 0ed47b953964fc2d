"""One job's folder in a store: who may write there, which checkpoints count, and how one comes to be."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from ultrathink_api.errors import Refused
from ultrathink_store import layout
from ultrathink_store.backend import StorageSettings, Store
from ultrathink_store.chain import Chain, Link
from ultrathink_store.checkpoint import (
    Checkpoint,
    Corrupt,
    Verification,
    check_headers,
    load_manifest,
    open_checkpoint,
)
from ultrathink_store.claims import Claim, claim
from ultrathink_store.ledger import Ledger
from ultrathink_store.manifest import Manifest, read_manifest
from ultrathink_store.opening import open_store
from ultrathink_store.packing import Packer, write_packed_shard
from ultrathink_store.records import CheckpointRef, End, Epoch, Outcome, Quarantined, Start, Unreadable, decode, encode
from ultrathink_store.refusals import checkpoint_corrupt, checkpoint_missing, superseded
from ultrathink_store.shards import Part, ShardWriter, write_shard

OnCorrupt = Callable[[Corrupt], None]


def utc_now() -> str:
    """Time as the records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_job(
    base: str, namespace: str | None, name: str, uid: str, settings: StorageSettings | None = None
) -> "JobStore":
    """The folder of a job below `checkpoint.uri`; with a namespace, the folders of other namespaces are not its own."""
    return JobStore(open_store(layout.job_uri(base, namespace, name), settings), uid, base=base if namespace else None)


class JobStore:
    """Everything below one job's prefix, seen by the job's incarnation `uid`."""

    def __init__(
        self,
        store: Store,
        uid: str,
        *,
        base: str | None = None,
        read_only: bool = False,
        now: Callable[[], str] = utc_now,
    ) -> None:
        if not layout.is_uid(uid):
            raise ValueError(f"{uid!r} is not a uid")
        self.store = store
        self.uid = uid
        self.base = base
        """Below it, what is not of our namespace is another tenant's."""
        self._read_only = read_only
        self.ledger = Ledger(store)
        self.now = now

    # Who writes here

    def claim(self, resume: str | None) -> Claim:
        """Makes the folder this uid's own and says where its first attempt starts. Refuses what would lose work."""
        return claim(self, resume)

    def epochs(self) -> list[Epoch]:
        """The ledger of attempts, in order."""
        return [
            epoch.model_copy(update={"start": self._with_uri(epoch.start)}) for epoch in self.ledger.epochs(self.uid)
        ]

    def take_epoch(self, number: int, start: Start) -> None:
        """Takes the next epoch and with it the right to commit. Raises `EpochTaken`."""
        self._refuse_unless_owner(f"take epoch {number}")
        self.ledger.take(self.uid, number, self._without_uri(start))

    def end_epoch(self, number: int, end: End) -> End:
        """Closes a line of the ledger; the first to do so is believed, and what is stored comes back."""
        return self.ledger.end(self.uid, number, end)

    def outcome(self) -> Outcome | None:
        return self.ledger.outcome(self.uid)

    def outcome_of(self, uid: str) -> Outcome | None:
        """How another incarnation ended."""
        return self.ledger.outcome(uid)

    def write_outcome(self, outcome: Outcome) -> Outcome:
        """How the job ended; the first is believed, and what is stored comes back."""
        return self.ledger.write_outcome(self.uid, outcome)

    # Which checkpoints count

    def at(self, uri: str) -> "JobStore":
        """Another job's folder, to read from; nothing is marked or claimed there."""
        return JobStore(self.store.other(uri), self.uid, now=self.now, read_only=True)

    def chain(self, uid: str | None = None) -> Chain:
        return Chain(uid or self.uid, self.ledger.starts, self.steps, self.ref)

    def ref(self, uid: str, epoch: int, step: int) -> CheckpointRef:
        """A checkpoint of this folder, with its URI."""
        uri = f"{self.store.uri}/{layout.step_folder(uid, epoch, step)}"
        return CheckpointRef(uid=uid, epoch=epoch, step=step, uri=uri)

    def newest(self, uid: str | None = None, on_corrupt: OnCorrupt | None = None) -> Checkpoint | None:
        """The newest valid checkpoint on the chain; what is not valid is quarantined and told to `on_corrupt`.

        None where nothing was ever committed. Where something was and nothing of it is valid: CheckpointCorrupt.
        """
        uid = uid or self.uid
        chain = self.chain(uid)
        broken: list[str] = []
        self._notice_vanished(uid, chain, broken, on_corrupt)
        for link in chain.links():
            checkpoint = self._sound(link, broken, on_corrupt)
            if checkpoint is not None:
                return checkpoint
        if broken:
            raise checkpoint_corrupt(self.store.uri, broken)
        return None

    def find(self, what: str) -> CheckpointRef:
        """`latest`, the number of a step on the chain, or a checkpoint's URI."""
        if what == "latest":
            newest = self.newest()
            if newest is None:
                raise checkpoint_missing(f"{self.store.uri} holds no checkpoint yet")
            return newest.ref
        if what.isdecimal():
            return self.at_step(self.uid, int(what))
        found = layout.address(what)
        if found is None:
            raise checkpoint_missing(f"{what!r} names no checkpoint")
        return CheckpointRef(uid=found.uid, epoch=found.epoch, step=found.step, uri=what.rstrip("/"))

    def is_ours(self, ref: CheckpointRef) -> bool:
        """Whether a checkpoint lies in this folder."""
        return ref.uri in ("", self.ref(ref.uid, ref.epoch, ref.step).uri)

    def committed(self) -> Iterator[CheckpointRef]:
        """Every manifest in this folder, whether or not it counts."""
        for uid in self.ledger.uids():
            for folder in self.store.folders(uid):
                epoch = layout.epoch_number(folder)
                if epoch is not None:
                    yield from (self.ref(uid, epoch, step) for step, _ in self.steps(uid, epoch))

    def at_step(self, uid: str, step: int) -> CheckpointRef:
        """The checkpoint of that step on a chain."""
        known = self.chain(uid).checkpoints()
        for ref in known:
            if ref.step == step:
                return ref
        steps = ", ".join(str(ref.step) for ref in known[:10]) or "none"
        raise checkpoint_missing(f"{self.store.uri} has no checkpoint of step {step} (it has: {steps})")

    def open(self, ref: CheckpointRef) -> Checkpoint:
        """A checkpoint of this folder or of the one that its URI names. Raises `Corrupt`."""
        return open_checkpoint(self._holding(ref), ref)

    def load_manifest(self, ref: CheckpointRef) -> Manifest:
        """Its manifest alone, for a listing. Raises `Corrupt`."""
        return load_manifest(self._holding(ref), ref)

    def verify(self, ref: CheckpointRef) -> Verification:
        """Reads every byte of it."""
        try:
            return self.open(ref).verify()
        except Corrupt as corrupt:
            return Verification(ref, 0, 0, corrupt.reason)

    def quarantine(self, ref: CheckpointRef, reason: str) -> bool:
        """Marks it so that no chain offers it again; deletes nothing. False for another job's, not ours to mark."""
        if self._read_only or not self.is_ours(ref):
            return False
        key = f"{layout.step_folder(ref.uid, ref.epoch, ref.step)}/{layout.QUARANTINED}"
        self.ledger.create(key, Quarantined(reason=reason[:1000], found_at=self.now()))
        return True

    def quarantined(self, ref: CheckpointRef) -> Quarantined | None:
        """Why it was marked."""
        key = f"{layout.step_folder(ref.uid, ref.epoch, ref.step)}/{layout.QUARANTINED}"
        if self.store.head(key) is None:
            return None
        try:
            return decode(Quarantined, self.store.fetch(key).data)
        except Unreadable:
            return Quarantined(reason="marked, with a reason that cannot be read", found_at="")

    # How one comes to be

    def shard_writer(
        self, epoch: int, step: int, rank: int, parts: Sequence[Part], *, packed: bool = False
    ) -> AbstractContextManager[ShardWriter | Packer]:
        """Streams one rank's shard, or packs it in memory first; a shard that is there already is refused."""
        write = write_packed_shard if packed else write_shard
        return write(self.store, self.uid, epoch, step, rank, parts)

    def commit(self, epoch: int, step: int, manifest: Manifest) -> CheckpointRef:
        """Makes the shards a checkpoint: checks them, checks that nobody took over, and creates the manifest, last."""
        ref = self.ref(self.uid, epoch, step)
        stored = manifest.model_copy(update={"parent": self._local(manifest.parent)})
        try:
            data = encode(stored)
            read_manifest(data, ref)
            check_headers(self.store, ref, stored)
        except (Corrupt, Unreadable) as error:
            raise Refused.of(
                "UTK0317",
                message=f"step {step} cannot be committed: {error}",
                fix="save again at a later step; nothing of this one will be read",
            ) from error
        self.refuse_if_superseded(epoch, "commit")
        key = f"{layout.step_folder(self.uid, epoch, step)}/{layout.MANIFEST}"
        if encode(self.ledger.create(key, stored)) != data:
            raise Refused.of(
                "UTK0316", message=f"{ref} is already committed", fix="save the next step; a checkpoint never changes"
            )
        # A hint for people: the checkpoint is committed whether or not it can be written.
        with contextlib.suppress(Refused):
            self.store.write(f"{self.uid}/{layout.LATEST}", encode(self._local(ref) or ref))
        return ref

    # Inside

    def _sound(self, link: Link, broken: list[str], on_corrupt: OnCorrupt | None) -> Checkpoint | None:
        if link.state == "quarantined":
            broken.append(f"{link.ref} is quarantined")
            return None
        try:
            return self.open(link.ref)
        except Corrupt as corrupt:
            self._set_aside(corrupt, broken, on_corrupt)
            return None

    def _set_aside(self, corrupt: Corrupt, broken: list[str], on_corrupt: OnCorrupt | None) -> None:
        broken.append(str(corrupt))
        self.quarantine(corrupt.ref, corrupt.reason)
        if on_corrupt:
            on_corrupt(corrupt)

    def _notice_vanished(self, uid: str, chain: Chain, broken: list[str], on_corrupt: OnCorrupt | None) -> None:
        """LATEST is only a hint, but a manifest that it names and that is gone was a checkpoint once: a loss."""
        latest = self.ledger.latest(uid)
        if latest is None or not chain.holds(latest):
            return
        folder = layout.step_folder(latest.uid, latest.epoch, latest.step)
        if self.store.head(f"{folder}/{layout.MANIFEST}") is None:
            ref = self.ref(latest.uid, latest.epoch, latest.step)
            if self.quarantined(ref):
                broken.append(f"{ref} is quarantined")
            else:
                self._set_aside(Corrupt(ref, "its manifest is gone", absent=True), broken, on_corrupt)

    def steps(self, uid: str, epoch: int) -> list[tuple[int, bool]]:
        """(step, quarantined) of the manifests of an epoch."""
        names: dict[int, set[str]] = {}
        for entry in self.store.list(layout.epoch_folder(uid, epoch)):
            folder, _, name = entry.key.rpartition("/")
            step = layout.step_number(folder.rpartition("/")[2])
            if step is not None:
                names.setdefault(step, set()).add(name)
        return [(step, layout.QUARANTINED in found) for step, found in names.items() if layout.MANIFEST in found]

    def _refuse_unless_owner(self, doing: str) -> None:
        owner = self.ledger.owner()
        if owner is None or owner[0].uid != self.uid:
            who = owner[0].uid if owner else "nobody"
            raise superseded(f"{self.uid} may not {doing}: {self.store.uri} belongs to {who}")

    def refuse_if_superseded(self, epoch: int, doing: str) -> None:
        """Only the owner's newest attempt may change what is there."""
        self._refuse_unless_owner(f"{doing} in epoch {epoch}")
        newest = max(self.ledger.starts(self.uid), default=0)
        if newest != epoch:
            raise superseded(f"epoch {epoch} may not {doing}: the newest attempt is {newest}")

    def _holding(self, ref: CheckpointRef) -> Store:
        if self.is_ours(ref):
            return self.store
        found = layout.address(ref.uri)
        if found is None or (found.uid, found.epoch, found.step) != (ref.uid, ref.epoch, ref.step):
            raise checkpoint_missing(f"{ref.uri} is not where {ref.uid}/epoch-{ref.epoch}/step-{ref.step} can be")
        return self.store.other(found.prefix)

    def _local(self, ref: CheckpointRef | None) -> CheckpointRef | None:
        return ref.model_copy(update={"uri": ""}) if ref and self.is_ours(ref) else ref

    def _without_uri(self, start: Start) -> Start:
        return start.model_copy(update={"parent": self._local(start.parent)})

    def _with_uri(self, start: Start) -> Start:
        parent = start.parent
        if parent is None or parent.uri:
            return start
        return start.model_copy(update={"parent": self.ref(parent.uid, parent.epoch, parent.step)})
