"""Real processes: a zygote that forks again and again, and trees that leave nothing behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ultrathink_trainer.agent.warm import Warm
from ultrathink_trainer.runtime import processes

HERE = Path(__file__).parent
DEADLINE = 30.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Zygote:
    """A zygote whose ranks run the stand-in."""

    def __init__(self) -> None:
        self.warm = Warm("standin:main")
        self.heard: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []

    def hear(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"heard only {self.heard} {self.records}"
            readable, _, _ = select.select([self.warm.link, self.warm.records], [], [], 0.1)
            if self.warm.records in readable:
                self.records += self.warm.records.drain()
            if self.warm.link in readable:
                messages = self.warm.hear()
                assert messages is not None, "the zygote is gone"
                self.heard += messages

    def fork(self, epoch: int, *do: object) -> dict[int, int]:
        """Ranks by number, with their pids."""
        self.warm.fork(tuple({"epoch": epoch, "rank": rank, "do": what} for rank, what in enumerate(do)))
        self.hear(lambda: sum(r["epoch"] == epoch for r in self.records) == len(do))
        return {r["rank"]: r["pid"] for r in self.records if r["epoch"] == epoch}

    def exits(self, epoch: int) -> dict[int, int]:
        return {m["rank"]: m["code"] for m in self.heard if m["say"] == "exit" and m["epoch"] == epoch}


@pytest.fixture
def zygote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zygote]:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    found = Zygote()
    found.hear(lambda: any(m["say"] == "ready" for m in found.heard))
    yield found
    if found.warm.process.poll() is None:
        found.warm.end()


def test_a_zygote_forks_sees_a_kill_and_forks_again(zygote: Zygote) -> None:
    first = zygote.fork(1, "wait", "wait", "wait")
    os.kill(first[1], signal.SIGKILL)
    zygote.hear(lambda: zygote.exits(1) == {1: -9})
    zygote.warm.signal(signal.SIGKILL)
    zygote.hear(lambda: zygote.exits(1) == {0: -9, 1: -9, 2: -9})
    second = zygote.fork(2, "wait", "wait", "wait")
    assert not set(first.values()) & set(second.values())


def test_every_exit_code_comes_back_as_it_was(zygote: Zygote) -> None:
    zygote.fork(1, 0, 64, "raise", "wait")
    zygote.hear(lambda: len(zygote.exits(1)) == 3)
    zygote.warm.signal(signal.SIGTERM)
    zygote.hear(lambda: zygote.exits(1) == {0: 0, 1: 64, 2: 70, 3: 0})


def test_ranks_die_with_their_zygote(zygote: Zygote) -> None:
    ranks = zygote.fork(1, "wait", "wait")
    zygote.warm.process.kill()
    zygote.warm.process.wait()
    until(lambda: not any(alive(pid) for pid in ranks.values()))


def test_a_zygote_dies_with_its_agent(tmp_path: Path) -> None:
    script = (
        "import time; from ultrathink_trainer.agent.warm import Warm\n"
        "w = Warm('standin:main'); print(w.process.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    agent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    assert agent.stdout is not None
    pid = int(agent.stdout.readline())
    agent.kill()
    agent.wait()
    agent.stdout.close()
    until(lambda: not alive(pid))


FAMILY = """
import subprocess, sys, time
child = subprocess.Popen(['sleep', '300'], start_new_session=True)
grandchild = subprocess.Popen(['sh', '-c', 'sleep 300 & echo $!; exit'], stdout=subprocess.PIPE, start_new_session=True)
print(child.pid, int(grandchild.stdout.readline()), file=open(sys.argv[1], 'w'), flush=True)
time.sleep(300)
"""


def family(folder: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A keeper over a program that left daemons in sessions of their own; the daemons' pids."""
    file = folder / "pids"
    keeper = processes.spawn(
        processes.python("ultrathink_trainer.runtime.keeper", "1", sys.executable, "-c", FAMILY, str(file))
    )
    until(lambda: file.exists() and len(file.read_text().split()) == 2)
    return keeper, [int(pid) for pid in file.read_text().split()]


def test_a_keeper_that_is_told_to_end_takes_every_daemon_with_it(tmp_path: Path) -> None:
    keeper, daemons = family(tmp_path)
    assert processes.end(keeper, DEADLINE) == 128 + signal.SIGTERM
    assert not any(alive(pid) for pid in daemons)


def test_a_keeper_whose_parent_is_killed_takes_every_daemon_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    script = (
        "import sys, time; from ultrathink_trainer.runtime import processes\n"
        "processes.spawn(processes.python('ultrathink_trainer.runtime.keeper', '1', sys.executable, '-c', "
        "sys.argv[1], sys.argv[2])); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, FAMILY, str(file)])
    until(lambda: file.exists() and len(file.read_text().split()) == 2)
    daemons = [int(pid) for pid in file.read_text().split()]
    parent.kill()
    parent.wait()
    until(lambda: not any(alive(pid) for pid in daemons))


def test_a_child_of_a_dead_parent_does_not_start_living() -> None:
    script = "from ultrathink_trainer.runtime import processes; processes.die_with_parent(); print('lived')"
    environment = {**os.environ, processes.PARENT_ENV: "1"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")
