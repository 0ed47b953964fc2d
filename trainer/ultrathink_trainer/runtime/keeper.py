"""A small parent for programs that leave daemons behind: whatever ends it, everything below it ends too."""

import os
import signal
import subprocess
import sys
import time

from ultrathink_trainer.runtime import processes


def main(argv: list[str]) -> int:
    """`keeper GRACE COMMAND...`: run the command; on SIGTERM (or our parent's death) give it `GRACE` seconds."""
    grace, command = float(argv[0]), argv[1:]
    processes.adopt_orphans()
    signals = processes.Signals(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    processes.die_with_parent(signal.SIGTERM)
    # Ray's command line greets at length; what it has to complain about comes on stderr.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline: float | None = None
    while child.poll() is None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        taken = signals.wait(left)
        if deadline is None and (signal.SIGTERM in taken or signal.SIGINT in taken):
            deadline = time.monotonic() + grace
            child.send_signal(signal.SIGTERM)
        processes.reap([child])
    processes.kill_below(os.getpid())
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
