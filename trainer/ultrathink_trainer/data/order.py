"""Which row comes when: pure functions of a seed and an index, each in constant time, so that a resume reads nothing.

A pass over a data set is shuffled in two steps. Rows lie in chunks as they lie in the shards; the chunks are shuffled,
and the rows of some tens of chunks are shuffled among each other. So what is read at any time lies in few places, a
store is asked for long pieces and a cache of fixed size is enough, whatever the size of the data.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

WINDOW_CHUNKS = 64
"""Chunks whose rows are mixed: 64 MiB of tokens."""
TURNS = 2
"""Of the Feistel network, two rounds each; four rounds make a random permutation of what a round makes random."""
KEPT = 1 << 14
"""Keys and places that are remembered: they are asked for once a row, and change once a window or a pass."""
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15


def key_of(*parts: object) -> int:
    """64 bits that depend on everything that is named."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest(), "little")


def _mix(value: int) -> int:
    """The finaliser of splitmix64: each bit of the input changes half of the output's."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def permuted(index: int, size: int, key: int) -> int:
    """Where a keyed permutation of range(size) takes `index`."""
    assert 0 <= index < size
    columns = isqrt(size - 1) + 1
    lines = -(-size // columns)
    while True:  # through a rectangle that is hardly larger than what there is, until one of ours comes out
        line, column = divmod(index, columns)
        for turn in range(TURNS):
            line = (line + _mix(column + key + turn * _ODD & _MASK)) % lines
            column = (column + _mix(line ^ key ^ (turn + 1) * _ODD & _MASK)) % columns
        index = line * columns + column
        if index < size:
            return index


_key_of_pass = lru_cache(KEPT)(key_of)
_place_of_chunk = lru_cache(KEPT)(permuted)


@dataclass(frozen=True)
class Shuffle:
    """The order of `rows` rows, `chunk` of which lie together; endless, another one in each pass."""

    rows: int
    chunk: int
    name: str
    """What the order depends on: seed and data."""

    def row(self, index: int) -> int:
        """The row that comes as number `index`, over all passes."""
        turn, at = divmod(index, self.rows)
        key = _key_of_pass(self.name, turn)
        chunks = self.rows // self.chunk
        window = at // (WINDOW_CHUNKS * self.chunk)
        last = max(0, (chunks - 1) // WINDOW_CHUNKS)
        window = min(window, last)  # rows beyond the last whole chunk belong to the last window
        first = window * WINDOW_CHUNKS
        here = min(WINDOW_CHUNKS, chunks - first)
        size = self.rows - first * self.chunk if window == last else here * self.chunk
        inside = permuted(at - first * self.chunk, size, key + window & _MASK)
        if inside >= here * self.chunk:
            return chunks * self.chunk + inside - here * self.chunk
        place, row = divmod(inside, self.chunk)
        return _place_of_chunk(first + place, chunks, key ^ _ODD) * self.chunk + row


@dataclass(frozen=True)
class Quotas:
    """Which domain a row comes from, by whole-number weights: a fixed pattern that gives each its exact share."""

    pattern: tuple[int, ...]
    before: tuple[int, ...]
    """How often the domain of each place of the pattern stood in it before."""
    weights: tuple[int, ...]

    @classmethod
    def of(cls, weights: Sequence[int]) -> "Quotas":
        """Each place goes to the domain that is furthest behind its share; the first one of equals."""
        total = sum(weights)
        given = [0] * len(weights)
        pattern, before = [], []
        for place in range(1, total + 1):
            domain = max(range(len(weights)), key=lambda d: (weights[d] * place - given[d] * total, -d))
            pattern.append(domain)
            before.append(given[domain])
            given[domain] += 1
        assert given == list(weights), "a whole pattern gives each domain its weight"
        return cls(tuple(pattern), tuple(before), tuple(weights))

    def at(self, index: int) -> tuple[int, int]:
        """(domain, index within the domain) of row `index`."""
        turn, place = divmod(index, len(self.pattern))
        domain = self.pattern[place]
        return domain, turn * self.weights[domain] + self.before[place]

    def given(self, rows: int) -> tuple[int, ...]:
        """How many of the first `rows` rows come from each domain."""
        turns, places = divmod(rows, len(self.pattern))
        return tuple(turns * weight + self.pattern[:places].count(domain) for domain, weight in enumerate(self.weights))


@dataclass(frozen=True)
class Curriculum:
    """Quotas that change at given rows; each domain goes on where it was."""

    starts: tuple[int, ...]
    stages: tuple[Quotas, ...]
    given: tuple[tuple[int, ...], ...]
    """Rows of each domain before each stage."""

    @classmethod
    def of(cls, weights: Sequence[int], changes: Sequence[tuple[int, Sequence[int]]] = ()) -> "Curriculum":
        """`changes` are (first row, weights), in rising order."""
        starts = (0, *(first for first, _ in changes))
        stages = (Quotas.of(weights), *(Quotas.of(other) for _, other in changes))
        given = [(0,) * len(weights)]
        for stage, start, end in zip(stages, starts, starts[1:], strict=False):
            given.append(tuple(a + b for a, b in zip(given[-1], stage.given(end - start), strict=True)))
        return cls(starts, stages, tuple(given))

    def at(self, index: int) -> tuple[int, int]:
        """(domain, index within the domain) of row `index`."""
        number = bisect_right(self.starts, index) - 1
        domain, at = self.stages[number].at(index - self.starts[number])
        return domain, self.given[number][domain] + at
