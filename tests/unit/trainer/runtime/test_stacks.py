"""Stacks of real processes: of one that answers, of one that is stopped, of one that is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ultrathink_trainer.runtime import stacks

PROGRAM = """
import sys, time
from ultrathink_trainer.runtime.stacks import answer_with_stacks
answer_with_stacks(sys.argv[1], 4, int(sys.argv[2]))
def dreaming():
    print("ready", flush=True)
    while True:
        time.sleep(60)
dreaming()
"""


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[dict[int, int]]:
    """Two processes that would answer."""
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), str(rank)], stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    yield {rank: process.pid for rank, process in enumerate(started)}
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_that_runs_tells_its_stacks_itself(pids: dict[int, int], tmp_path: Path) -> None:
    seen = stacks.take(str(tmp_path), 4, pids)
    assert [("dreaming" in seen[rank]["stack"], seen[rank]["state"] in "RS") for rank in ("0", "1")] == [
        (True, True)
    ] * 2


def test_one_that_is_stopped_is_looked_at_from_outside_and_blamed(pids: dict[int, int], tmp_path: Path) -> None:
    os.kill(pids[1], signal.SIGSTOP)
    os.waitpid(pids[1], os.WUNTRACED)
    seen = stacks.take(str(tmp_path), 4, pids)
    assert seen["1"]["state"] == "T" and "dreaming" in seen["1"]["stack"]
    assert stacks.blame(seen) == 1


def test_one_that_is_gone_does_not_keep_the_others_from_telling(pids: dict[int, int], tmp_path: Path) -> None:
    seen = stacks.take(str(tmp_path), 4, {**pids, 7: 2**22 + 1})
    assert "dreaming" in seen["0"]["stack"]
    assert seen["7"]["state"] == "" and "no answer" in seen["7"]["stack"]


def test_the_only_rank_outside_a_collective_is_blamed() -> None:
    waiting = {"state": "S", "stack": stack("/lib/torch/_ops.py", "/lib/torch/distributed/_functional_collectives.py")}
    computing = {"state": "R", "stack": stack("/lib/torch/nn/functional.py", "/lib/torch/distributed/pipelining/x.py")}
    assert stacks.blame({"0": waiting, "1": computing, "2": waiting}) == 1
    assert stacks.blame({"0": waiting, "1": waiting}) is None


def stack(*files: str) -> str:
    """As faulthandler writes it: another thread, then the main one, innermost frame first."""
    frames = "".join(f'  File "{file}", line 7 in f\n' for file in files)
    return f'Thread 0x00007f1 (most recent call first):\n  File "/x.py", line 1 in g\n\nCurrent thread 0x7f2:\n{frames}'
