"""Events of a node, numbered, kept until the supervisor has them: nothing is lost or doubled on the way. Pure."""

from typing import Any


class Journal:
    """A queue that forgets only what was acknowledged."""

    def __init__(self) -> None:
        self._seq = 0
        self._kept: list[dict[str, Any]] = []

    def add(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with its number."""
        self._seq += 1
        numbered = {**event, "seq": self._seq}
        self._kept.append(numbered)
        return numbered

    def ack(self, seq: int) -> None:
        """Everything up to this number has arrived."""
        self._kept = [event for event in self._kept if event["seq"] > seq]

    def unacked(self) -> tuple[dict[str, Any], ...]:
        """What has to be said again to a new worker."""
        return tuple(self._kept)
