"""Which checkpoints count: what hangs on the newest epoch, link by link. Pure: it asks its arguments for all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ultrathink_store.records import CheckpointRef, Start
from ultrathink_store.refusals import broken_chain


@dataclass(frozen=True, slots=True)
class Link:
    """One checkpoint of the chain."""

    ref: CheckpointRef
    state: Literal["committed", "quarantined", "lost"]
    """lost: an attempt started from it, and its manifest is there no more."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of an epoch that counts: up to the step that the next epoch went on from, or all of the newest."""

    uid: str
    epoch: int
    last: int | None


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
        return [link.ref for link in self.links() if link.state == "committed"]

    def links(self) -> Iterator[Link]:
        """All, with the quarantined and the lost ones."""
        for part in self._parts():
            if isinstance(part, CheckpointRef):
                yield Link(part, "committed")
                continue
            found = {
                step: quarantined for step, quarantined in self._steps(part.uid, part.epoch) if _counts(part, step)
            }
            if part.last is not None and part.last not in found:
                yield Link(self._refer(part.uid, part.epoch, part.last), "lost")
            for step in sorted(found, reverse=True):
                yield Link(self._refer(part.uid, part.epoch, step), "quarantined" if found[step] else "committed")

    def holds(self, ref: CheckpointRef) -> bool:
        """Whether a checkpoint, there or not, would count."""
        return any(
            isinstance(part, Segment) and (part.uid, part.epoch) == (ref.uid, ref.epoch) and _counts(part, ref.step)
            for part in self._parts()
        )

    def _parts(self) -> Iterator[Segment | CheckpointRef]:
        """Newest first. Another folder's checkpoint, asked for by name, ends the chain: it alone, nothing before it."""
        starts = self._starts(self._uid)
        if not starts:
            return
        segment = Segment(self._uid, max(starts), None)
        seen: set[tuple[str, int]] = set()
        while True:
            start = self._starts(segment.uid).get(segment.epoch)
            if start is None or (segment.uid, segment.epoch) in seen:
                raise broken_chain(f"the chain leads to {segment.uid}/epoch-{segment.epoch}, where it cannot lead")
            seen.add((segment.uid, segment.epoch))
            yield segment
            parent = start.parent
            if parent is None:
                return
            if parent.uri:
                yield parent
                return
            if parent.uid == segment.uid and parent.epoch >= segment.epoch:
                raise broken_chain(f"{segment.uid}/epoch-{segment.epoch} says that it starts from an attempt after it")
            segment = Segment(parent.uid, parent.epoch, parent.step)


def _counts(segment: Segment, step: int) -> bool:
    return segment.last is None or step <= segment.last
