"""Tokens a second per core of our loader against Hugging Face's streaming and packing: python -m bench.loader.

Both read the same documents, tokenised before, from local files, in random order, and hand out int64 tensors of whole
rows. Per core means per second of CPU time of this process, threads included.
"""

import hashlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
import torch
from bench.report import report

from ultrathink_planner.plan import DataSource
from ultrathink_store import open_store
from ultrathink_trainer.data.index import HELD_OUT, TRAIN, Index, TokenizerEntry
from ultrathink_trainer.data.loader import Cursor, Loader
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.data.writing import SplitWriter, commit

NAME = "loader"
GOAL = 10.0
RESUME_GOAL_SECONDS = 0.050
PAIRS = 5
TOKENS = 16 << 20
SHARD_TOKENS = 4 << 20
DOCUMENT_TOKENS = 600
"""Mean length of a document, as on the web."""
VOCABULARY = 50_000
LENGTH, ROWS = 2_048, 8
MEASURED_ROWS = {"ours": 8_000, "theirs": 1_000}
BUFFER = 1_000
"""Documents that the peer shuffles among each other; its own examples say as many."""
RESUMES = 30
TOKENIZER = hashlib.sha256(b"none").hexdigest()


def documents() -> Iterator["numpy.ndarray[Any, Any]"]:
    """Random documents of random lengths; the last id ends each."""
    chance = numpy.random.default_rng(0)
    left = TOKENS
    while left > 0:
        length = min(left, 2 + int(chance.exponential(DOCUMENT_TOKENS)))
        yield numpy.append(chance.integers(0, VOCABULARY - 1, length - 1), VOCABULARY - 1).astype("uint16")
        left -= length


def write_ours(folder: Path) -> str:
    uri = f"file://{folder}"
    store = open_store(uri)
    splits = {}
    for name, share in ((TRAIN, documents()), (HELD_OUT, islice(documents(), 20))):
        writer = SplitWriter(store, name, "uint16", TOKENIZER, SHARD_TOKENS)
        for document in share:
            writer.add(document, 1)
        splits[name] = writer.close()
    entry = TokenizerEntry(file="tokenizer.json", sha256=TOKENIZER)
    commit(
        store, Index(dtype="uint16", vocabulary=VOCABULARY, end_token=VOCABULARY - 1, tokenizer=entry, splits=splits)
    )
    return uri


def write_theirs(folder: Path) -> list[str]:
    """The same documents as Parquet, a file a shard."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir()
    files: list[str] = []
    waiting: list[Any] = []
    count = 0

    def put() -> None:
        files.append(str(folder / f"{len(files):05d}.parquet"))
        column = pyarrow.array(waiting, pyarrow.list_(pyarrow.uint16()))
        parquet.write_table(pyarrow.table({"input_ids": column}), files[-1], row_group_size=1_000)

    for document in documents():
        waiting.append(document)
        count += len(document)
        if count >= SHARD_TOKENS:
            put()
            waiting, count = [], 0
    if waiting:
        put()
    return files


def ours(uri: str) -> Iterator[torch.Tensor]:
    source = open_source([DataSource(uri=uri)], seed=1, length=LENGTH, vocabulary=VOCABULARY)
    loader, cursor = Loader(source, ROWS, 0, 1), Cursor(source.fingerprint)
    while True:
        rows, cursor = loader.next(cursor)
        yield rows.tokens_BT


def packed(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Documents end to end, cut into rows: what the peer's own examples do, on arrays, which is its fastest way."""
    tokens = numpy.concatenate(batch["input_ids"])
    rows = len(tokens) // LENGTH
    return {"input_ids": list(tokens[: rows * LENGTH].reshape(rows, LENGTH).astype("int64"))}


def theirs(files: list[str]) -> Iterator[torch.Tensor]:
    import datasets

    data = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    data = data.shuffle(seed=1, buffer_size=BUFFER).with_format("numpy")
    data = data.map(packed, batched=True, batch_size=BUFFER).with_format("torch")
    for batch in data.batch(ROWS):
        tokens = batch["input_ids"]
        yield tokens if isinstance(tokens, torch.Tensor) else torch.stack(list(tokens))


def speed(open_: Callable[[], Iterator[torch.Tensor]], rows: int) -> tuple[float, float]:
    """Tokens a second of CPU and of wall time, after the first batch."""
    batches = open_()
    next(batches)
    cpu, wall, tokens = time.process_time(), time.perf_counter(), 0
    for batch in islice(batches, rows // ROWS):
        assert batch.shape[1] == LENGTH and batch.dtype == torch.int64
        tokens += batch.numel()
    return tokens / (time.process_time() - cpu), tokens / (time.perf_counter() - wall)


def resumes(uri: str) -> list[tuple[float, float]]:
    """Wall and CPU seconds from nothing to the first batch at a random place: all is opened anew each time."""
    chance = random.Random(2)
    taken = []
    for _ in range(RESUMES):
        began, cpu = time.perf_counter(), time.process_time()
        source = open_source([DataSource(uri=uri)], seed=1, length=LENGTH, vocabulary=VOCABULARY)
        Loader(source, ROWS, 0, 1).next(Cursor(source.fingerprint, i=chance.randrange(1_000 * TOKENS // LENGTH)))
        taken.append((time.perf_counter() - began, time.process_time() - cpu))
    return taken


def measure(folder: Path) -> dict[str, Any]:
    uri, files = write_ours(folder / "ours"), write_theirs(folder / "theirs")
    pairs = []
    for _ in range(PAIRS):
        our, our_wall = speed(lambda: ours(uri), MEASURED_ROWS["ours"])
        their, their_wall = speed(lambda: theirs(files), MEASURED_ROWS["theirs"])
        pairs.append({"ours": our, "theirs": their, "oursWall": our_wall, "theirsWall": their_wall})
    ratio = statistics.median(pair["ours"] / pair["theirs"] for pair in pairs)
    seconds, cpu = zip(*resumes(uri), strict=True)
    return {
        "tokensPerCoreSecond": round(statistics.median(pair["ours"] for pair in pairs)),
        "peerTokensPerCoreSecond": round(statistics.median(pair["theirs"] for pair in pairs)),
        "ratio": round(ratio, 2),
        "goal": GOAL,
        "resumeSeconds": {"median": round(statistics.median(seconds), 4), "worst": round(max(seconds), 4)},
        "resumeCpuSeconds": round(statistics.median(cpu), 4),
        "resumeGoalSeconds": RESUME_GOAL_SECONDS,
        "ok": ratio >= GOAL and statistics.median(seconds) <= RESUME_GOAL_SECONDS,
        "pairs": [{key: round(value) for key, value in pair.items()} for pair in pairs],
    }


def main() -> int:
    """0 if both goals were met."""
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder))
    resume, cpu = result["resumeSeconds"], result["resumeCpuSeconds"]
    row = (
        f"| loader, tokens/s per core against datasets' streaming + packing | {result['tokensPerCoreSecond']:,} "
        f"against {result['peerTokensPerCoreSecond']:,}: {result['ratio']}x | goal {GOAL:.0f}x; resume "
        f"{1000 * resume['median']:.0f} ms (worst {1000 * resume['worst']:.0f}, CPU {1000 * cpu:.0f}) "
        f"| goal {1000 * RESUME_GOAL_SECONDS:.0f} ms | {'ok' if result['ok'] else 'missed'} |"
    )
    return report(NAME, row, result)


if __name__ == "__main__":
    sys.exit(main())
