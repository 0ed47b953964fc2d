"""What is wrong with a data set: damage, ids out of range, empty and repeated documents, leaks between the splits."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

from ultrathink_api.errors import Problem, Refused
from ultrathink_store import StorageSettings, Store, open_store
from ultrathink_store.backend import Missing

from ..index import Index, ShardEntry, Split
from ..refusals import about_data, other_tokenizer, unfit_shard
from ..shards import BLOCK_BYTES, HEADER_BYTES, Header, Unfit, block_crc, parse_footer, parse_header
from ..tokens import read_index

FIELD = "--uri"
DIGEST_BYTES = 8
MOST_PROBLEMS = 100
"""Told one by one; after so many nobody reads on."""

OnProgress = Callable[[int, int], None]
"""(tokens read, tokens in all)"""


@dataclass
class Found:
    """What a split holds."""

    documents: int = 0
    tokens: int = 0
    empty: int = 0
    duplicates: int = 0
    lowest: int | None = None
    highest: int | None = None
    digests: set[bytes] = field(default_factory=set)

    def dump(self) -> dict[str, Any]:
        said = {key: value for key, value in vars(self).items() if key not in {"digests", "lowest", "highest"}}
        return {**said, "range": None if self.lowest is None else [self.lowest, self.highest]}


def check(
    uri: str, settings: StorageSettings | None = None, on_progress: OnProgress = lambda *_: None
) -> dict[str, Any]:
    """The report: `sound` unless a shard is damaged, an id out of range, or a document in two splits."""
    with about_data(FIELD):
        store = open_store(uri, settings)
        index = read_index(store, uri, FIELD)
        reading = _Reading(store, index, uri, on_progress)
        reading.tokenizer()
        found = {name: reading.split(name, split) for name, split in index.splits.items()}
    names = sorted(found)
    leaks = sum(len(found[a].digests & found[b].digests) for at, a in enumerate(names) for b in names[at + 1 :])
    return {
        "uri": uri,
        "sound": not (reading.problems or leaks),
        "vocabulary": index.vocabulary,
        "tokenizer": index.tokenizer.sha256,
        "splits": {name: one.dump() for name, one in found.items()},
        "leaks": leaks,
        "problems": [problem.dump() for problem in reading.problems[:MOST_PROBLEMS]],
    }


class _Reading:
    """One pass over all bytes of a data set; damage is noted, and the rest is read on."""

    def __init__(self, store: Store, index: Index, uri: str, on_progress: OnProgress) -> None:
        self._store, self._index, self._uri, self._on_progress = store, index, uri, on_progress
        self._read = 0
        self._total = sum(split.tokens for split in index.splits.values())
        self.problems: list[Problem] = []

    def tokenizer(self) -> None:
        said = self._index.tokenizer
        try:
            data = self._store.read(said.file)
        except Missing:
            data = b""
        if hashlib.sha256(data).hexdigest() != said.sha256:
            refused = other_tokenizer(f"{self._uri}/{said.file} is not the tokenizer that the index names", FIELD)
            self.problems.append(refused.problem)

    def split(self, name: str, split: Split) -> Found:
        found, carried = Found(), [numpy.empty(0, "u4")]
        for entry in split.shards:
            tokens = self._shard(entry)
            if tokens is None:
                carried = [numpy.empty(0, "u4")]  # the document that was open is not whole
                continue
            self._look(tokens, found, entry)
            carried = _documents(tokens, carried, self._index.end_token, found)
        if any(map(len, carried)):
            self._note(name, f"the last document of {name} has no end token")
        if not self.problems and found.documents != split.documents:
            self._note(name, f"it holds {found.documents} documents, and the index says {split.documents}")
        return found

    def _shard(self, entry: ShardEntry) -> "numpy.ndarray[Any, Any] | None":
        try:
            data = self._store.read(entry.file)
            tokens = _decoded(data, entry, self._index)
        except (Unfit, Missing) as unfit:
            why = "it is missing" if isinstance(unfit, Missing) else str(unfit)
            self._note(entry.file, why)
            tokens = None
        except Refused as refused:
            self.problems.append(refused.problem)
            tokens = None
        self._read += entry.tokens
        self._on_progress(self._read, self._total)
        return tokens

    def _look(self, tokens: "numpy.ndarray[Any, Any]", found: Found, entry: ShardEntry) -> None:
        low, high = int(tokens.min()), int(tokens.max())
        found.tokens += len(tokens)
        found.lowest = low if found.lowest is None else min(found.lowest, low)
        found.highest = high if found.highest is None else max(found.highest, high)
        if high >= self._index.vocabulary:
            self._note(entry.file, f"it holds token id {high}, and ids are below {self._index.vocabulary}")

    def _note(self, file: str, why: str) -> None:
        self.problems.append(unfit_shard(f"{self._uri}/{file}", FIELD, why).problem)


def _decoded(data: bytes, entry: ShardEntry, index: Index) -> "numpy.ndarray[Any, Any]":
    header: Header = parse_header(data[:HEADER_BYTES])
    if (header.dtype, header.tokens, header.file_bytes) != (index.dtype, entry.tokens, len(data)):
        raise Unfit("it is not the shard that the index names, or it was cut off")
    crcs = parse_footer(header, data[header.footer_start :])
    view = memoryview(data)[HEADER_BYTES : header.footer_start]
    for block, crc in enumerate(crcs.tolist()):
        if block_crc(view[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]) != crc:
            raise Unfit(f"its tokens from number {block * BLOCK_BYTES // header.token_bytes} on are damaged")
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise Unfit("its SHA-256 is another than the index says")
    if header.tokenizer != index.tokenizer.sha256:
        raise other_tokenizer(f"{entry.file} was made with another tokenizer than the index says", FIELD)
    return numpy.frombuffer(view, f"<u{header.token_bytes}").astype("u4")


def _documents(
    tokens: "numpy.ndarray[Any, Any]", carried: list[Any], end_token: int, found: Found
) -> list["numpy.ndarray[Any, Any]"]:
    """Takes in every document that ends here; returns the pieces of the one that does not."""
    start = 0
    for end in numpy.flatnonzero(tokens == end_token).tolist():
        piece = tokens[start:end]
        whole = numpy.concatenate([*carried, piece]) if len(carried) > 1 or len(carried[0]) else piece
        carried, start = [numpy.empty(0, "u4")], end + 1
        found.documents += 1
        if not len(whole):
            found.empty += 1
            continue
        digest = hashlib.blake2b(whole.tobytes(), digest_size=DIGEST_BYTES).digest()
        if digest in found.digests:
            found.duplicates += 1
        found.digests.add(digest)
    return [*carried, tokens[start:]]
