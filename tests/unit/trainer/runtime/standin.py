"""A stand-in for the training function: what a forked rank of these tests does, as its assignment says."""

import os
import signal
import time
from typing import Any

from ultrathink_trainer.runtime.wire import write_record


def main(assignment: dict[str, Any], records: int) -> int:
    """Say hello, then do as told."""
    rank = assignment["rank"]
    write_record(records, {"event": "hello", "pid": os.getpid(), "rank": rank, "epoch": assignment["epoch"]})
    if assignment["do"] == "raise":
        raise RuntimeError("as told")
    if assignment["do"] == "wait":
        signal.signal(signal.SIGTERM, lambda signum, frame: os._exit(0))
        while True:
            time.sleep(60)
    return int(assignment["do"])
