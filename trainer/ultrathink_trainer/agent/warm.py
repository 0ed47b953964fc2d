"""The agent's hold on its zygote: starts it, keeps it, speaks with it."""

import os
import signal
import socket
import subprocess
import sys
from typing import Any

from ultrathink_trainer.runtime import processes
from ultrathink_trainer.runtime.wire import Link, Message, Records


class Warm:
    """One zygote process and the pipe that its ranks write records to."""

    def __init__(self, entry: str, inherited: tuple[int, ...] = ()) -> None:
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        with theirs:
            self.process: subprocess.Popen[bytes] = processes.spawn(
                processes.python(
                    "ultrathink_trainer.zygote",
                    f"--link={theirs.fileno()}",
                    f"--records={writer}",
                    f"--entry={entry}",
                ),
                # Ranks print for people: stdout is the supervisor's, for programs.
                stdout=sys.stderr.buffer,
                pass_fds=(theirs.fileno(), writer, *inherited),
            )
        os.close(writer)
        self.link = Link(ours)
        self.records = Records(reader)
        self.ready = False

    def hear(self) -> list[Message] | None:
        """What the zygote says; None when it is gone."""
        return self.link.receive()

    def fork(self, assignments: tuple[dict[str, Any], ...]) -> None:
        self.link.send({"do": "fork", "ranks": list(assignments)})

    def signal(self, signum: int) -> None:
        self.link.send({"do": "signal", "signal": int(signum)})

    def end(self) -> None:
        """Kill it, and with it all its ranks."""
        processes.signal_process(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.link.close()
        os.close(self.records.fileno())
