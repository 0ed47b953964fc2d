"""A rank that stands in its own code is told from those that wait for it, by real stacks of real layouts."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from distributed.jobs import attempt
from distributed.layouts import LAYOUTS, job_plan
from distributed.ranks import DEADLINE_SECONDS, RankFailed, run_ranks
from ultrathink_trainer.run import Run
from ultrathink_trainer.runtime import stacks
from ultrathink_trainer.runtime.owntime import OwnTime

STUCK, STEP = 1, 2
STILL = 10
"""Looks at processes, one after the other, that find all of them asleep."""


@pytest.mark.fault("F38")
@pytest.mark.parametrize("name", ["data 2", "tensor 2", "pipeline 2", "pipeline 2, data 2"])
def test_the_rank_that_the_others_wait_for_is_named(name: str, tmp_path: Path) -> None:
    plan = job_plan(LAYOUTS[name], model={"layers": 2}, steps=STEP)
    blamed = tmp_path / "blamed"

    def stand_still(run: Run) -> None:
        rank, begin = run.world.rank, run.begin
        stacks.answer_with_stacks(str(tmp_path), 1, rank)
        (tmp_path / f"pid-{rank}").write_text(str(os.getpid()))

        def begin_or_not(step: int, model: Any) -> None:
            if (rank, step) == (STUCK, STEP):
                blamed.write_text(str(who_is_blamed(tmp_path, plan.world_size)))
                raise SystemExit
            begin(step, model)

        run.begin = begin_or_not  # type: ignore[method-assign]

    with pytest.raises(RankFailed):
        attempt(plan, tmp_path / "run", 1, prepare=stand_still)
    assert blamed.read_text() == str(STUCK)


def who_is_blamed(folder: Path, ranks: int) -> int | None:
    """Asked by the rank that stands still, until the others have come to where they wait."""
    pids = {rank: int((folder / f"pid-{rank}").read_text()) for rank in range(ranks)}
    until = time.monotonic() + DEADLINE_SECONDS / 3
    named = None
    while named is None and time.monotonic() < until:
        wait_until_still([pid for rank, pid in pids.items() if rank != STUCK], until)
        for rank in pids:
            os.truncate(stacks.file_of(str(folder), 1, rank), 0)
        named = stacks.blame(stacks.take(str(folder), 1, pids))
    return named


def wait_until_still(pids: list[int], until: float) -> None:
    """As they are when a hang is found: CPython writes the stacks of threads that run at its own peril."""
    seen_still = 0
    while seen_still < STILL and time.monotonic() < until:
        time.sleep(0.05)
        seen_still = seen_still + 1 if all(stacks.state_of(pid) == "S" for pid in pids) else 0


def test_what_a_rank_computes_by_itself_is_told_from_its_waiting() -> None:
    assert run_ranks(2, own_and_passed) == [True, True]


def own_and_passed(rank: int) -> bool:
    """Rank 0 works for long, rank 1 waits for it: whether each found that of itself."""
    own = OwnTime(threading.get_ident())
    matrix = torch.ones(256, 256)
    dist.barrier()
    own.take()
    began = time.monotonic()
    while rank == 0 and time.monotonic() - began < 1.0:
        matrix = matrix @ matrix * 0.001
    dist.all_reduce(torch.ones(1))
    share = own.take() / (time.monotonic() - began)
    return share > 0.7 if rank == 0 else share < 0.3
