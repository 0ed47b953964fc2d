"""Ranks for tests: forked from a parent that has imported torch, one thread each, talking gloo over loopback."""

import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_map_only

# Imported here, once, so that no rank has to.
import ultrathink_trainer.train  # noqa: F401

torch.set_num_threads(1)  # forked ranks must not inherit a pool of threads

DEADLINE_SECONDS = 180.0
"""For a whole group: far beyond what any of them takes on two busy cores."""


class RankFailed(AssertionError):
    """A rank raised or died; says which and how."""


def run_ranks(count: int, work: Callable[[int], Any], *, deadline: float = DEADLINE_SECONDS) -> list[Any]:
    """What `work(rank)` returned on each of `count` ranks of a gloo group; tensors come back as numpy arrays."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        pipes = [context.Pipe(duplex=False) for _ in range(count)]
        meeting = str(Path(folder) / "meeting")
        ranks = [context.Process(target=_rank, args=(r, count, meeting, work, pipes[r][1])) for r in range(count)]
        for rank in ranks:
            rank.start()
        for _, sender in pipes:
            sender.close()
        try:
            return _collect([receiver for receiver, _ in pipes], time.monotonic() + deadline)
        finally:
            for rank in ranks:
                rank.kill()
                rank.join()


def _collect(receivers: list[Connection], until: float) -> list[Any]:
    results: dict[int, Any] = {}
    while len(results) < len(receivers):
        waiting = [receiver for rank, receiver in enumerate(receivers) if rank not in results]
        ready = wait(waiting, timeout=max(0.0, until - time.monotonic()))
        if not ready:
            raise RankFailed(f"ranks {sorted(set(range(len(receivers))) - set(results))} did not end in time")
        for receiver in ready:
            rank = receivers.index(receiver)
            try:
                good, value = receiver.recv()
            except EOFError:
                raise RankFailed(f"rank {rank} died without a word") from None
            if not good:
                raise RankFailed(f"rank {rank}:\n{value}")
            results[rank] = value
    return [results[rank] for rank in range(len(receivers))]


def _rank(rank: int, count: int, meeting: str, work: Callable[[int], Any], sender: Connection) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)  # replaces the pool that the fork left behind, before autograd's threads race to do so
    try:
        dist.init_process_group(
            "gloo",
            store=dist.FileStore(meeting, count),
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=DEADLINE_SECONDS),
        )
        result = tree_map_only(torch.Tensor, lambda t: t.detach().cpu().numpy(), work(rank))
        dist.barrier()  # nobody leaves while others still need it
        sender.send((True, result))
    except BaseException:
        sender.send((False, traceback.format_exc()))
    finally:
        sender.close()
        os._exit(0)
