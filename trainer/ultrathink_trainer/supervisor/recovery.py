"""Where the time of a recovery went: from the fault's being known to the next step, by stage. Pure."""


class Recovery:
    """One at a time; whatever fails before the next step belongs to the same recovery."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._known: float | None = None
        self._ended: float | None = None
        self._restored: float | None = None
        self._detect: float | None = None
        self._restore = 0.0

    def faulted(self, now: float, silence: float | None) -> None:
        """The fault is known; after a hang, so many seconds late."""
        if self._known is None:
            self._known, self._detect = now, silence

    def ended(self, now: float) -> None:
        """No process of the attempt is left."""
        if self._known is not None and self._ended is None:
            self._ended = now

    def restored(self, now: float, seconds: float) -> None:
        """State was read back, which took so long."""
        self._restored, self._restore = now, seconds

    def stepped(self, now: float) -> dict[str, float]:
        """The first step after it: seconds of each stage, empty where there was no fault."""
        known, ended, restored = self._known, self._ended, self._restored
        stages = {} if self._detect is None else {"detect": self._detect}
        if known is not None and ended is not None:
            ready = now if restored is None else restored - self._restore
            stages |= {"teardown": ended - known, "start": ready - ended, "restore": self._restore}
            stages["firstStep"] = 0.0 if restored is None else now - restored
        self._forget()
        return stages if known is not None else {}
