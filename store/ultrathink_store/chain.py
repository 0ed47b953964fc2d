"""Which checkpoints count: what hangs on the newest epoch, link by link. Pure: it asks its arguments for all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ultrathink_store.records import CheckpointRef, Start, Unreadable


@dataclass(frozen=True, slots=True)
class Link:
    """One committed checkpoint of the chain."""

    ref: CheckpointRef
    quarantined: bool


Starts = Callable[[str], Mapping[int, Start]]
"""The epochs taken in a uid's folder."""
Steps = Callable[[str, int], list[tuple[int, bool]]]
"""(step, quarantined) of the manifests in an epoch's folder."""


class Chain:
    """Newest first. Read anew at each walk, and no further than the walk goes."""

    def __init__(self, uid: str, starts: Starts, steps: Steps, refer: Callable[[str, int, int], CheckpointRef]) -> None:
        self._uid = uid
        self._starts = starts
        self._steps = steps
        self._refer = refer

    def checkpoints(self) -> list[CheckpointRef]:
        """All that may be read, newest first."""
        return [link.ref for link in self.links() if not link.quarantined]

    def links(self) -> Iterator[Link]:
        """All, with the quarantined ones."""
        starts = self._starts(self._uid)
        return self._walk(self._uid, max(starts), None) if starts else iter(())

    def links_from(self, ref: CheckpointRef) -> Iterator[Link]:
        """One checkpoint of ours and what lies before it."""
        return self._walk(ref.uid, ref.epoch, ref.step)

    def _walk(self, uid: str, epoch: int, last: int | None) -> Iterator[Link]:
        seen: set[tuple[str, int]] = set()
        while True:
            start = self._starts(uid).get(epoch)
            if start is None or (uid, epoch) in seen:
                raise Unreadable(f"the chain of attempts leads to {uid}/epoch-{epoch}, where it cannot lead")
            seen.add((uid, epoch))
            for step, quarantined in sorted(self._steps(uid, epoch), reverse=True):
                if last is None or step <= last:
                    yield Link(self._refer(uid, epoch, step), quarantined)
            parent = start.parent
            if parent is None:
                return
            if parent.uri:
                # A checkpoint of another folder was asked for by name: it alone, nothing before it.
                yield Link(parent, False)
                return
            if parent.uid == uid and parent.epoch >= epoch:
                raise Unreadable(f"{uid}/epoch-{epoch} says that it starts from an attempt after it")
            uid, epoch, last = parent.uid, parent.epoch, parent.step
