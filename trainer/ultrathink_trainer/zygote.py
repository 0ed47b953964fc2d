"""The process that ranks are forked from: everything imported, no thread, no Ray, no GPU, nothing but a select loop."""

import argparse
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ultrathink_trainer.runtime import processes
from ultrathink_trainer.runtime.wire import Link, Message

DEFAULT_ENTRY = "ultrathink_trainer.rank:main"
INTERNAL_EXIT_CODE = 70
"""EX_SOFTWARE: the entry itself broke, before it could say how."""

Entry = Callable[[Message, int], int]
"""(assignment, file descriptor for records) -> exit code."""


class Zygote:
    """Forks on request, reaps, and tells its agent."""

    def __init__(self, link: Link, records: int, entry: Entry, signals: processes.Signals) -> None:
        self._link, self._records, self._entry, self._signals = link, records, entry, signals
        self._ranks: dict[int, tuple[int, int]] = {}
        """pid -> (epoch, rank)"""

    def serve(self) -> int:
        """Until the agent is gone."""
        while True:
            select.select([self._link, self._signals], [], [])
            self._signals.taken()
            self._reap()
            readable, _, _ = select.select([self._link], [], [], 0)
            if not readable:
                continue
            messages = self._link.receive()
            if messages is None:
                return 0
            for message in messages:
                if not self._obey(message):
                    return 0

    def _obey(self, message: Message) -> bool:
        match message["do"]:
            case "fork":
                for assignment in message["ranks"]:
                    self._fork(assignment)
            case "signal":
                for pid in self._ranks:
                    processes.signal_process(pid, message["signal"])
            case "end":
                return False
        return True

    def _fork(self, assignment: Message) -> None:
        parent = os.getpid()
        # What is buffered would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_rank(assignment, parent)
        self._ranks[pid] = (assignment["epoch"], assignment["rank"])
        self._link.send({"say": "forked", "epoch": assignment["epoch"], "rank": assignment["rank"], "pid": pid})

    def _become_rank(self, assignment: Message, parent: int) -> None:
        """The child's side; never returns."""
        code = INTERNAL_EXIT_CODE
        try:
            processes.die_with(parent, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(signum, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._link.close()
            code = self._entry(assignment, self._records)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            epoch, rank = self._ranks.pop(pid, (0, -1))
            if rank >= 0:
                code = os.waitstatus_to_exitcode(status)
                self._link.send({"say": "exit", "epoch": epoch, "rank": rank, "code": code})


def load_entry(name: str) -> Entry:
    """`module:function`; importing the module is what makes a zygote warm."""
    module, _, function = name.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    return entry


def threads() -> int:
    """Threads of this process: a fork copies only one of them, with the locks of all."""
    return len(list(Path("/proc/self/task").iterdir()))


def main(argv: list[str]) -> int:
    """`zygote --link FD --records FD --entry MODULE:FUNCTION`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", type=int, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--entry", default=DEFAULT_ENTRY)
    options = parser.parse_args(argv)
    signals = processes.Signals(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
    processes.die_with_parent(signal.SIGKILL)
    link = Link(socket.socket(fileno=options.link))
    began = time.monotonic()
    entry = load_entry(options.entry)
    # Collecting in a child would touch, and so copy, every page of what was imported.
    gc.collect()
    gc.freeze()
    running = threads()
    assert running == 1, f"{running} threads: a fork would copy one of them, and the locks of all"
    link.send({"say": "ready", "seconds": round(time.monotonic() - began, 3)})
    return Zygote(link, options.records, entry, signals).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
