"""How long a rank computes by itself: its main thread, looked at many times a second, when it waits for nobody.

All ranks take as long for a step, since each waits for the slowest; only what they do between the waits differs.
On a GPU the main thread runs ahead of the device, so nothing is learned there of which one is slow.
"""

import sys
import threading
import time
from types import FrameType

from .waits import is_passed, is_waiting

LOOK_SECONDS = 0.01
"""A hundred looks a second cost a thousandth of a core; over the steps that are averaged there are enough of them."""


class OwnTime:
    """Watches one thread. `take` is called by that thread."""

    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._own = self._all = 0
        self._taken = time.monotonic()
        threading.Thread(target=self._watch, name="owntime", daemon=True).start()

    def take(self) -> float:
        """Seconds since the last call in which the thread waited for nobody; as good as the number of looks."""
        now = time.monotonic()
        passed, self._taken = now - self._taken, now
        own, looks = self._own, self._all
        self._own = self._all = 0
        return passed * own / looks if looks else passed

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            frame = sys._current_frames().get(self._thread)
            if frame is None:
                return
            self._all += 1
            self._own += not waits(frame)


def waits(frame: FrameType | None) -> bool:
    """Whether this innermost frame waits for other ranks."""
    while frame is not None and is_passed(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and is_waiting(frame.f_code.co_filename)
