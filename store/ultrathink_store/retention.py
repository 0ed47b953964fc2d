"""Which steps of a job may be deleted: the rules of the chain. Pure; what is there and what names it are arguments."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ultrathink_store.chain import Link

YOUNGEST = timedelta(minutes=10)
"""Nothing younger is deleted: whoever was about to read or to name it has done so by then."""
NEWEST = 2
"""Valid checkpoints of the chain that always stay: the newest may turn out to be damaged."""

Address = tuple[str, int, int]
"""uid, epoch, step"""


@dataclass(frozen=True, slots=True)
class Keep:
    """What a job asks to keep, beside what is pinned."""

    last: int
    every_steps: int | None = None


@dataclass(frozen=True, slots=True)
class StepFolder:
    """What a listing shows of one step of one epoch of the job's own uid."""

    uid: str
    epoch: int
    step: int
    committed: bool
    pinned: bool
    touched: datetime
    """When its youngest object was written, by the store's own clock."""
    keys: tuple[str, ...] = ()

    @property
    def address(self) -> Address:
        return self.uid, self.epoch, self.step


def collectable(
    folders: Iterable[StepFolder],
    links: Sequence[Link],
    named: Collection[Address],
    *,
    epoch: int,
    keep: Keep,
    now: datetime,
) -> list[StepFolder]:
    """The folders to delete, oldest first.

    `links` is the whole chain, newest first; `named` is what any START names; `epoch` is the newest one; `now` is by
    the clock of the store.
    """
    kept = protected(links, named, keep)
    found = sorted(folders, key=lambda folder: (folder.epoch, folder.step))
    here = [folder.step for folder in found if folder.epoch == epoch and folder.committed]
    # Saves follow one another in steps: what lies behind the newest manifest of this epoch is not on its way any more.
    arrived = max(here, default=-1)
    return [
        folder
        for folder in found
        if folder.address not in kept
        and not folder.pinned
        and now - folder.touched >= YOUNGEST
        and (folder.epoch < epoch or (folder.epoch == epoch and folder.step < arrived))
    ]


def protected(links: Sequence[Link], named: Collection[Address], keep: Keep) -> set[Address]:
    """What the chain, the STARTs and the job's wish hold on to."""
    valid = [_address(link) for link in links if link.state == "committed"]
    kept = {*named, *valid[: max(NEWEST, keep.last)]}
    if keep.every_steps:
        seen: set[int] = set()
        for address in reversed(valid):
            # The first at or after each multiple: where steps are saved by the clock they rarely are multiples.
            bucket = address[2] // keep.every_steps
            if bucket and bucket not in seen:
                seen.add(bucket)
                kept.add(address)
    newer = 0
    for link in links:
        if link.state == "committed":
            newer += 1
        elif newer < max(NEWEST, keep.last):
            kept.add(_address(link))  # evidence, as long as little else is there
    return kept


def _address(link: Link) -> Address:
    return link.ref.uid, link.ref.epoch, link.ref.step
