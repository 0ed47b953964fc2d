"""What a forked rank runs: meets its peers at the supervisor's store, trains, and says how it ended."""

import os
import re
import signal
import sys
import threading
import time
import traceback
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint  # warms the zygote
import torch.distributed.fsdp
import torch.distributed.pipelining

from ultrathink_api.causes import USER_ERROR_EXIT_CODE
from ultrathink_api.errors import Problem, Refused
from ultrathink_api.protocol import RunConfig
from ultrathink_planner import Plan
from ultrathink_store import Start
from ultrathink_trainer.checkpoint.copies import Copies, free_bytes
from ultrathink_trainer.checkpoint.interval import History
from ultrathink_trainer.data.tokens import Access
from ultrathink_trainer.run import Control, NonFinite, open_run
from ultrathink_trainer.runtime import chaos, heap, memory, stacks
from ultrathink_trainer.runtime.owntime import OwnTime
from ultrathink_trainer.runtime.wire import ATOMIC, Message, encode, write_record
from ultrathink_trainer.supervisor.ledger import MEMORY_SINCE, open_store_of, storage_settings
from ultrathink_trainer.train import train

REFUSED_EXIT_CODE = 65
MEMORY_EXIT_CODE = 71
NON_FINITE_EXIT_CODE = 76
INTERNAL_EXIT_CODE = 70
PEER_EXIT_CODE = 75
JOIN_TIMEOUT = timedelta(seconds=120)
"""All ranks are forked within a second; a node whose network is slow to come up gets more."""
COLLECTIVE_TIMEOUT = timedelta(minutes=30)
MESSAGE_CHARACTERS = 1500
DATA_FOLDER = "data"
"""Of the node's scratch: what its ranks have fetched of the data, for all of them."""
HEADER_BYTES = 64
"""Epoch and rank, added to each record."""

_PEER_WORDS = re.compile(
    r"connection (was )?(closed|reset|refused|aborted)|broken pipe|likely closed|socket (closed|timeout)"
    r"|remote process exited|peer (closed|reset)|recvvalue failed|sendbytes failed|wait timeout|timed out waiting",
    re.IGNORECASE,
)


def main(assignment: Message, records: int) -> int:
    """The entry of the zygote; the exit code."""
    epoch, rank = int(assignment["epoch"]), int(assignment["rank"])

    def emit(record: dict[str, Any]) -> None:
        write_record(records, {**record, "epoch": epoch, "rank": rank})

    def failed(kind: str, message: str, problem: Problem | None = None) -> None:
        emit(last_words(kind, message, problem))

    try:
        _train(assignment, epoch, rank, emit)
    except Refused as refused:
        failed("refused", "", refused.problem)
        return REFUSED_EXIT_CODE
    except SystemExit as asked:
        if asked.code == USER_ERROR_EXIT_CODE:
            failed("user", f"rank {rank} ended with exit code {USER_ERROR_EXIT_CODE}")
        return asked.code if isinstance(asked.code, int) else INTERNAL_EXIT_CODE
    except NonFinite as error:
        emit({**last_words("nonFinite", str(error)), "rows": list(error.rows)})
        return NON_FINITE_EXIT_CODE
    except Exception as error:
        if is_peers_fault(error):
            failed("peer", f"rank {rank}: {error}")
            return PEER_EXIT_CODE
        if memory.is_short(error):
            failed("memory", f"rank {rank}: {error}")
            return MEMORY_EXIT_CODE
        traceback.print_exc()
        failed("error", f"rank {rank}: {_where(error)}{type(error).__name__}: {error}")
        return INTERNAL_EXIT_CODE
    return 0


def last_words(kind: str, message: str, problem: Problem | None = None) -> dict[str, Any]:
    """Why a rank ends, cut so that it can be written at once, whatever its alphabet."""
    longest = MESSAGE_CHARACTERS
    while True:
        record: dict[str, Any] = {"event": "failed", "kind": kind, "message": message[:longest]}
        if problem is not None:
            record["problem"] = {name: text[:longest] for name, text in problem.dump().items()}
        if len(encode(record)) <= ATOMIC - HEADER_BYTES:
            return record
        longest //= 2


def is_peers_fault(error: BaseException) -> bool:
    """Whether this rank only noticed that another one was gone."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, dist.DistError) or (isinstance(seen, RuntimeError) and _PEER_WORDS.search(str(seen))):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def with_micro_batch(plan: Plan, rows: int | None) -> Plan:
    """The same step in smaller pieces, where an attempt before was short of memory."""
    if rows is None:
        return plan
    batch = plan.batch.model_copy(update={"micro_rows": rows, "microbatches": plan.batch.rows_per_data_rank // rows})
    return plan.model_copy(update={"batch": batch})


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""


def _train(assignment: Message, epoch: int, rank: int, emit: Any) -> None:
    config = RunConfig.model_validate_json(Path(assignment["config"]).read_text())
    stacks.answer_with_stacks(config.directory, epoch, rank)
    control = Control()

    def asked_to_stop(signum: int, frame: FrameType | None) -> None:
        control.stop = True

    signal.signal(signal.SIGTERM, asked_to_stop)
    device = _join(config, epoch, rank, int(assignment["localRank"]))
    if device.type == "cpu":
        heap.keep()
    start = Start.model_validate(assignment["start"])
    plan = with_micro_batch(Plan.model_validate(config.plan), start.detail.get("microBatchSequences"))
    run = open_run(
        plan,
        open_store_of(config),
        epoch,
        emit=emit,
        clock=time.monotonic,
        control=control,
        chaos=chaos.parse(assignment["chaos"], world_size=dist.get_world_size()),
        device=device,
        copies=_copies(assignment, config, plan, start, rank),
        parent=start.parent,
        skips=[(first, last) for first, last in start.detail.get("skips", [])],
        bears=config.spec.health.non_finite_skips,
        history=_history(start),
        own_time=OwnTime(threading.get_ident()).take if device.type == "cpu" else None,
        access=Access(Path(config.directory) / DATA_FOLDER, storage_settings(config)),
    )
    finish = train(run)
    emit({"event": "finish", "kind": finish.kind, "step": finish.step})
    # The others may still be in a collective: whoever leaves first must not look like a failure.
    dist.barrier()
    sys.stdout.flush()


def _history(start: Start) -> History:
    """What the ledger said when this attempt began."""
    failures, seconds = start.detail.get("failures"), start.detail.get("ranSeconds")
    return History(failures, seconds) if isinstance(failures, int) and isinstance(seconds, float) else History()


def _copies(assignment: Message, config: RunConfig, plan: Plan, start: Start, rank: int) -> Copies | None:
    """The memory that the agent keeps for this rank."""
    wanted, fds = config.spec.checkpoint.copies, assignment.get("copies")
    if wanted is None or not fds:
        return None
    since = start.detail.get(MEMORY_SINCE)
    run = f"{config.uid} {plan.digest} {plan.world_size}"
    return Copies(
        fds,
        every=wanted.every,
        run=run,
        rank=rank,
        since=since if isinstance(since, int) else start.epoch,
        free=free_bytes() // config.ranks_per_node,
    )


def _join(config: RunConfig, epoch: int, rank: int, local_rank: int) -> torch.device:
    """The process group of this attempt; a rank of an older one meets nobody under its own prefix."""
    world = config.nodes * config.ranks_per_node
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(world),
        LOCAL_RANK=str(local_rank),
        LOCAL_WORLD_SIZE=str(config.ranks_per_node),
    )
    if config.local:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    client = dist.TCPStore(config.head, config.ports.store, None, False, timeout=JOIN_TIMEOUT)
    store = dist.PrefixStore(f"epoch-{epoch}", client)
    gpus = config.gpus_per_node > 0
    device = torch.device("cuda", local_rank) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    init = partial(dist.init_process_group, store=store, rank=rank, world_size=world, timeout=COLLECTIVE_TIMEOUT)
    init("cpu:gloo,cuda:nccl" if gpus else "gloo")
    return device
