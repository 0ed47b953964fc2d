"""builtin://stories: endless small stories, generated from a grammar, so that a run needs no download.

Row i of a split is a pure function of (seed, i): stories one after another, cut where the row ends. No document
masks are needed, since stories of a row know nothing of each other. A story belongs to the held-out split if the hash
of its tokens says so, hence no story is in both.
"""

import hashlib
import random
from collections.abc import Sequence
from functools import cache

import numpy

from .grammar import BEATS, NOTHING, OPENING, START, VOCABULARY, Choice, row_entropy

URI = "builtin://stories"
FORMAT = 1
"""Part of the fingerprint; another grammar or another way of drawing is another format."""
HELD_OUT_SHARE = 16
"""One story in so many is held out."""
HELD_OUT_SEED = 0
"""Held-out rows are the same for every job, so that losses can be compared."""

_ID = {word: index for index, word in enumerate(VOCABULARY)}


class Stories:
    """Rows of `length` tokens and the one that follows them, for one seed."""

    def __init__(self, *, seed: int, length: int) -> None:
        self.seed, self.length = seed, length
        self.vocabulary = len(VOCABULARY)
        self.fingerprint = hashlib.sha256(f"{URI}/{FORMAT}/{seed}/{length}".encode()).hexdigest()[:16]

    @property
    def entropy(self) -> float:
        """Nats per label that no reader can do without."""
        return _row_entropy(self.length)

    def row(self, index: int) -> list[int]:
        """Training row `index`: length + 1 tokens."""
        return self._row("train", self.seed, index)

    def held_out_row(self, index: int) -> list[int]:
        """Held-out row `index`: length + 1 tokens."""
        return self._row("held-out", HELD_OUT_SEED, index)

    def rows(self, indices: Sequence[int]) -> "numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int64]]":
        return numpy.array([self.row(index) for index in indices], numpy.int64)

    def held_out_rows(self, indices: Sequence[int]) -> "numpy.ndarray[tuple[int, int], numpy.dtype[numpy.int64]]":
        return numpy.array([self.held_out_row(index) for index in indices], numpy.int64)

    def _row(self, split: str, seed: int, index: int) -> list[int]:
        digest = hashlib.sha256(f"{URI}/{FORMAT}/{split}/{seed}/{index}".encode()).digest()
        generator = random.Random(int.from_bytes(digest, "little"))
        tokens: list[int] = []
        while len(tokens) <= self.length:
            candidate = story(generator)
            if is_held_out(candidate) == (split == "held-out"):
                tokens += candidate
        return tokens[: self.length + 1]


def story(generator: random.Random) -> list[int]:
    """One story as token ids."""
    said = {NOTHING: NOTHING}
    tokens: list[int] = []
    name = OPENING
    while name != OPENING or not tokens:
        beat = BEATS[name]
        for slot in beat.line:
            word = _one_of(slot.table[said[slot.given]], generator)
            if slot.name:
                said[slot.name] = word
            tokens.append(_ID[word])
        name = _one_of(beat.after, generator)
    return tokens


def _one_of(choice: Choice, generator: random.Random) -> str:
    return choice.words[0] if len(choice.words) == 1 else choice.draw(generator.random())


def is_held_out(tokens: list[int]) -> bool:
    text = b"".join(token.to_bytes(2, "little") for token in tokens)
    return hashlib.sha256(text).digest()[0] % HELD_OUT_SHARE == 0


def decode(tokens: list[int]) -> str:
    """Tokens as text."""
    text = " ".join(VOCABULARY[token] for token in tokens)
    for mark in ".,":
        text = text.replace(f" {mark}", mark)
    return text.replace(f"{START} ", "\n").strip()


_row_entropy = cache(row_entropy)
