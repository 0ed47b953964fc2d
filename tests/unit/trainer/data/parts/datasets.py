"""Small data sets in a folder, of tokens that tell where they came from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy

from ultrathink_planner.plan import DataSource, DataStage
from ultrathink_store import open_store
from ultrathink_trainer.data.index import Index, TokenizerEntry
from ultrathink_trainer.data.rows import Source
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.data.writing import SplitWriter, commit, put, tokenizer_key

TOKENIZER = b'{"not": "a real one"}'
VOCABULARY = 5_000
END = 0


def make(
    uri: str | Path,
    *,
    train: int = 1_000,
    held_out: int = 200,
    first: int = 1,
    shard_tokens: int = 300,
    tokenizer: bytes = TOKENIZER,
    dtype: str = "uint16",
) -> str:
    """Token i of the training split is first + i, of the held-out split train later; both modulo the vocabulary."""
    uri = str(uri) if "://" in str(uri) else f"file://{uri}"
    store = open_store(uri)
    sha256 = hashlib.sha256(tokenizer).hexdigest()
    put(store, tokenizer_key(sha256), tokenizer)
    splits = {}
    for name, start, count in (("train", first, train), ("held-out", first + train, held_out)):
        writer = SplitWriter(store, name, dtype, sha256, shard_tokens)
        writer.add((numpy.arange(start, start + count) % VOCABULARY).astype(dtype), 1)
        splits[name] = writer.close()
    entry = TokenizerEntry(file=tokenizer_key(sha256), sha256=sha256)
    commit(store, Index(dtype=dtype, vocabulary=VOCABULARY, end_token=END, tokenizer=entry, splits=splits))
    return uri


def opened(
    *uris: str,
    seed: int = 0,
    length: int = 16,
    weights: tuple[int, ...] = (),
    vocabulary: int = 5_000,
    curriculum: Sequence[DataStage] = (),
) -> Source:
    weights = weights or (1,) * len(uris)
    sources = [DataSource(uri=uri, weight=weight) for uri, weight in zip(uris, weights, strict=True)]
    return open_source(sources, seed=seed, length=length, vocabulary=vocabulary, curriculum=curriculum)
