"""Runs `utk` as its users do: another process, its own streams, on a terminal or in a pipe."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

UTK = [sys.executable, "-c", "from utk.main import main; main()"]
DEADLINE_S = 60.0
CHUNK = 1 << 16


class Said:
    """What a finished command left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Utk:
    """`utk(...)` runs one command line; `start` leaves it running."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        plain = {k: v for k, v in os.environ.items() if k not in {"CI", "NO_COLOR", "FORCE_COLOR", "KUBECONFIG"}}
        self.environ = {**plain, "HOME": str(folder), **environ}

    def __call__(self, *words: str, stdin: str = "", deadline: float = DEADLINE_S) -> Said:
        done = subprocess.run(
            [*UTK, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline,
            cwd=self.folder,
            env=self.environ,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def here(self, *words: str) -> Said:
        """The same without a process of its own: saves the second that imports take, for what only reads."""
        from unittest.mock import patch

        from utk.console import console
        from utk.main import run

        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with patch.dict(os.environ, self.environ, clear=True), redirect_stdout(out), redirect_stderr(err):
            console.out, console.err = out, err
            try:
                code = run(list(words))
            finally:
                console.out, console.err = sys.__stdout__, sys.__stderr__
        return Said(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    def start(self, *words: str) -> "Running":
        return Running(
            subprocess.Popen(
                [*UTK, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env=self.environ,
                preexec_fn=_hears_ctrl_c,
            )
        )

    def on_terminal(self, *words: str) -> "Terminal":
        return Terminal([*UTK, *words], self.folder, {**self.environ, "TERM": "xterm-256color"})


class Running:
    """A command whose lines are read as they come."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        assert process.stdout is not None and process.stderr is not None
        self._streams = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
        self._text = {"out": b"", "err": b""}

    @property
    def out(self) -> str:
        return self._text["out"].decode()

    @property
    def err(self) -> str:
        return self._text["err"].decode()

    def until(self, seen: Callable[["Running"], bool], deadline: float = DEADLINE_S) -> None:
        end = time.monotonic() + deadline
        while not seen(self):
            assert time.monotonic() < end, f"not seen in time\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
            self._read(0.2)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self, deadline: float = DEADLINE_S) -> Said:
        stop = time.monotonic() + deadline
        while self._streams:
            assert time.monotonic() < stop, f"still running\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
            self._read(0.2)
        return Said(self._process.wait(deadline), self.out, self.err)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select(list(self._streams), [], [], seconds)
        for fd in ready:
            data = os.read(fd, CHUNK)
            if data:
                self._text[self._streams[fd]] += data
            else:
                del self._streams[fd]


class Terminal:
    """A command that has a terminal for all its streams."""

    def __init__(self, argv: list[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=dict(environ),
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(theirs)
        self._seen = b""

    @property
    def text(self) -> str:
        return self._seen.decode("utf-8", "replace")

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def until(self, words: str, deadline: float = DEADLINE_S) -> None:
        end = time.monotonic() + deadline
        while words not in self.text:
            assert time.monotonic() < end, f"{words!r} not seen in\n{self.text[-3000:]}"
            assert self._read(), f"{words!r} not seen before the end of\n{self.text[-3000:]}"

    def end(self, deadline: float = DEADLINE_S) -> int:
        stop = time.monotonic() + deadline
        while self._read():
            assert time.monotonic() < stop, f"still running\n{self.text[-3000:]}"
        code = self._process.wait(deadline)
        os.close(self._ours)
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], 0.2)
        if not ready:
            return True
        try:
            data = os.read(self._ours, CHUNK)
        except OSError:
            return False
        self._seen += data
        return bool(data)


def _own_terminal() -> None:
    """So that Ctrl-C on the terminal reaches the command."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    _hears_ctrl_c()


def _hears_ctrl_c() -> None:
    """Tests that were started in a shell's background are deaf to it, and so would be what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
