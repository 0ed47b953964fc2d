"""The API server's time: ages and deadlines are measured against it, whatever this machine's clock says."""

import time
from email.utils import parsedate_to_datetime

TOLERANCE_S = 2.0
"""Date headers have whole seconds and take some time to arrive; a smaller difference is noise."""


class ServerClock:
    """Seconds since the epoch, carried on between answers by the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._offset

    def heard(self, date: str | None) -> None:
        """Take in the Date header of an answer."""
        if not date:
            return
        told = parsedate_to_datetime(date).timestamp()
        if abs(told - self.now()) > TOLERANCE_S:
            self._offset = told - time.monotonic()
