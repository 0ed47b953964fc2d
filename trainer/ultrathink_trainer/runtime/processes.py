"""Children that never outlive their parent, and signals as something to wait for."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

PARENT_ENV = "ULTRATHINK_PARENT"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL_ROUNDS = 50
"""Looks at the process table until a tree is gone: one that forks while it is killed needs a few."""
KILL_PAUSE = 0.02


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def die_with(parent: int, signum: int = signal.SIGKILL) -> None:
    """Get `signum` when `parent` is gone; also when it was gone before this call."""
    _prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """The same for a process that `spawn` started; one started by hand or by kubelet has no such parent."""
    parent = os.environ.pop(PARENT_ENV, "")
    if parent:
        die_with(int(parent), signum)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that they can be found and ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own. Call it from the main thread: PDEATHSIG follows the thread."""
    environment = dict(os.environ if env is None else env)
    environment[PARENT_ENV] = str(os.getpid())
    return subprocess.Popen(
        list(argv),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        process_group=0,
    )


def python(module: str, *args: str) -> list[str]:
    """The command line of one of our own modules, on this interpreter."""
    return [sys.executable, "-m", module, *args]


def _parents() -> dict[int, int]:
    """Every process and its parent, zombies left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue  # it ended while we looked
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z":
            found[int(entry.name)] = int(parent)
    return found


def descendants(pid: int, *, spare: Sequence[int] = ()) -> list[int]:
    """All living processes below `pid`, without the trees of those spared."""
    parents = _parents()
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    pending = list(children.get(pid, ()))
    while pending:
        child = pending.pop()
        if child in spare:
            continue
        found.append(child)
        pending.extend(children.get(child, ()))
    return found


def kill_below(pid: int, *, spare: Sequence[int] = ()) -> None:
    """SIGKILL everything below `pid` until nothing is left of it."""
    for _ in range(KILL_ROUNDS):
        left = descendants(pid, spare=spare)
        if not left:
            return
        for child in left:
            signal_process(child, signal.SIGKILL)
        time.sleep(KILL_PAUSE)


def signal_process(pid: int, signum: int) -> None:
    """Send a signal; a process that is gone already has got what it needs."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def end(child: subprocess.Popen[bytes], grace: float) -> int:
    """SIGTERM, `grace` seconds, then SIGKILL for the child and all below it; its exit status."""
    if child.poll() is None:
        signal_process(child.pid, signal.SIGTERM)
        try:
            return child.wait(grace)
        except subprocess.TimeoutExpired:
            kill_below(child.pid)
            child.kill()
    return child.wait()


def reap(known: Sequence[subprocess.Popen[bytes]]) -> None:
    """Collect orphans that came to us, leaving our own children to their Popen."""
    own = {child.pid for child in known}
    while True:
        try:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if seen is None:
            return
        if seen.si_pid in own:
            for child in known:
                child.poll()
            if any(child.pid == seen.si_pid and child.returncode is None for child in known):
                return
        else:
            os.waitpid(seen.si_pid, 0)


class Signals:
    """Signals turned into bytes on a pipe, so that one select waits for sockets, children and signals alike."""

    def __init__(self, *wanted: int) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        for signum in wanted:
            signal.signal(signum, self._noted)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    @staticmethod
    def _noted(signum: int, frame: FrameType | None) -> None:
        """The byte on the pipe says it all; a handler must exist for it to be written."""

    def fileno(self) -> int:
        return self._reader

    def wake(self) -> None:
        """Make a waiting select return, from any thread."""
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            return  # it is full: whoever waits is awake already

    def taken(self) -> list[int]:
        """Signals since the last call."""
        try:
            return [byte for byte in os.read(self._reader, 4096) if byte]
        except BlockingIOError:
            return []

    def wait(self, timeout: float | None) -> list[int]:
        """Signals, or nothing after `timeout` seconds."""
        select.select([self._reader], [], [], timeout)
        return self.taken()
