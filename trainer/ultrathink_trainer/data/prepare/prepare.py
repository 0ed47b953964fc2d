"""Text to token shards: units are tokenised by several processes, then deduped, split and packed in one fixed order.

What comes out depends on the input, the tokenizer and the options alone, not on how many processes worked nor on how
often they were killed: finished units are kept in a folder, and the index is written last.
"""

import fcntl
import hashlib
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from ultrathink_api.errors import Problem, Refused
from ultrathink_store import StorageSettings, Store, open_store
from ultrathink_store.backend import Exists

from .. import index as indexes
from ..index import HELD_OUT, TRAIN, Index, TokenizerEntry
from ..refusals import about_data
from ..shards import narrowest
from ..writing import SplitWriter, commit, put, tokenizer_key
from .inputs import Unit, find
from .refusals import exists, unfit
from .tokenise import Recipe, begin, stage

WORK = ".preparing"
"""Folder of finished units: no listing of a store shows a name that begins with a dot."""

OnProgress = Callable[[str, int, int], None]
"""(what is done: tokenise or pack, units done, units in all)"""


@dataclass(frozen=True)
class Order:
    """What is to be made of what, and where."""

    inputs: Sequence[str]
    to: str
    recipe: Recipe
    held_out: float
    workers: int
    shard_tokens: int
    work: Path | None = None


@dataclass
class Counts:
    """Documents that did not become tokens."""

    empty: int = 0
    short: int = 0
    duplicate: int = 0


def prepare(order: Order, settings: StorageSettings | None = None, on_progress: OnProgress = lambda *_: None) -> Index:
    """A finished data set. Raises Refused; what was done until then is kept, and the same call goes on with it."""
    with about_data("--to"):
        store = open_store(order.to, settings)
        if store.head(indexes.FILE) is not None:
            raise exists(order.to, "a data set is there already")
    units = find(order.inputs)
    folder = order.work or _work_folder(store)
    with _alone(folder):
        _tokenise(units, order, folder, on_progress)
        with about_data("--to"):
            index = _pack(units, order, folder, store, on_progress)
    shutil.rmtree(folder, ignore_errors=True)
    return index


def _work_folder(store: Store) -> Path:
    if store.uri.startswith("file://"):
        return Path(store.uri.removeprefix("file://")) / WORK
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ultrathink" / "prepare" / hashlib.sha256(store.uri.encode()).hexdigest()[:16]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The lock ends with whoever holds it, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("ab")
    except OSError as error:
        raise exists(str(folder), f"no place for unfinished work: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise exists(str(folder), "another process prepares the same data set") from held
        yield


def _tokenise(units: Sequence[Unit], order: Order, folder: Path, on_progress: OnProgress) -> None:
    missing = [unit for unit in units if not order.recipe.staged(unit, folder).exists()]
    done = len(units) - len(missing)
    on_progress("tokenise", done, len(units))
    if not missing:
        return
    workers = max(1, min(order.workers, len(missing)))
    # Spawned, not forked: whoever calls us may hold threads, a progress bar's for one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin) as pool:
        futures = [pool.submit(stage, unit, order.recipe, folder) for unit in missing]
        try:
            for future in as_completed(futures):
                refused = future.result()
                if refused is not None:
                    raise Refused(Problem(**refused))
                done += 1
                on_progress("tokenise", done, len(units))
        except BrokenProcessPool as broken:
            raise Refused.of(
                "UTK0600",
                message="a process that tokenised was killed",
                fix="run it again, with fewer --workers if memory ran out; what was finished is kept",
            ) from broken
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _pack(units: Sequence[Unit], order: Order, folder: Path, store: Store, on_progress: OnProgress) -> Index:
    recipe, dtype = order.recipe, narrowest(order.recipe.vocabulary)
    writers = {name: SplitWriter(store, name, dtype, recipe.sha256, order.shard_tokens) for name in (TRAIN, HELD_OUT)}
    counts, seen = Counts(), set[bytes]()
    for number, unit in enumerate(units):
        on_progress("pack", number, len(units))
        with numpy.load(recipe.staged(unit, folder), allow_pickle=False) as staged:
            _take(dict(staged), writers, counts, seen, order.held_out)
    on_progress("pack", len(units), len(units))
    splits = {name: writer.close() for name, writer in writers.items()}
    if not splits[TRAIN].tokens:
        raise unfit(", ".join(order.inputs), "no document is left to learn from")
    if not splits[HELD_OUT].tokens:
        raise Refused.of(
            "UTK0215",
            field="--held-out",
            message=f"none of {splits[TRAIN].documents} documents fell into the held-out part",
            fix="raise --held-out, or prepare more data",
        )
    tokenizer = TokenizerEntry(file=tokenizer_key(recipe.sha256), sha256=recipe.sha256)
    put(store, tokenizer.file, Path(recipe.tokenizer).read_bytes())
    made: dict[str, Any] = {"dropped": vars(counts), "heldOut": order.held_out, "minCharacters": recipe.min_characters}
    index = Index(
        dtype="uint16" if dtype == "uint16" else "uint32",
        vocabulary=recipe.vocabulary,
        end_token=recipe.end_token,
        tokenizer=tokenizer,
        splits=splits,
        made=made,
    )
    try:
        commit(store, index)
    except Exists as taken:
        raise exists(order.to, "somebody else has finished a data set there") from taken
    return index


def _take(
    staged: dict[str, Any], writers: dict[str, SplitWriter], counts: Counts, seen: set[bytes], held_out: float
) -> None:
    """The documents of a unit that nobody has brought yet, each into the split that its own hash says."""
    empty, short = staged["dropped"].tolist()
    counts.empty, counts.short = counts.empty + empty, counts.short + short
    keys, lengths, tokens = staged["keys"], staged["lengths"], staged["tokens"]
    split = numpy.zeros(len(lengths), numpy.int8)
    limit = int(held_out * 2**64)
    for number, key in enumerate(map(bytes, keys)):
        if key in seen:
            counts.duplicate += 1
            continue
        seen.add(key)
        split[number] = 2 if int.from_bytes(key[:8], "little") < limit else 1
    of_token = numpy.repeat(split, lengths)
    for value, name in ((1, TRAIN), (2, HELD_OUT)):
        writers[name].add(tokens[of_token == value], int((split == value).sum()))
