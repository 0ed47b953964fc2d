"""Tensors cut into pieces: small boxes that are hashed, read and checked one by one."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

PIECE_MOST_BYTES = 64 << 20
"""What a reader must hold in memory to be sure of a single byte."""


class Box(NamedTuple):
    """A part of a tensor: where it begins and how far it goes, in each dimension."""

    offsets: tuple[int, ...]
    shape: tuple[int, ...]


def cut(shape: tuple[int, ...], item_bytes: int, most: int = PIECE_MOST_BYTES) -> Iterator[Box]:
    """Boxes of at most `most` bytes that, one after the other, are the tensor's bytes in row-major order."""
    assert most >= item_bytes
    if item_bytes * math.prod(shape) <= most:
        yield Box((0,) * len(shape), shape)
        return
    row_bytes = item_bytes * math.prod(shape[1:])
    if row_bytes <= most:
        rows = most // row_bytes
        for first in range(0, shape[0], rows):
            yield Box((first, *(0,) * (len(shape) - 1)), (min(rows, shape[0] - first), *shape[1:]))
        return
    for row in range(shape[0]):
        for inner in cut(shape[1:], item_bytes, most):
            yield Box((row, *inner.offsets), (1, *inner.shape))


def tile(shape: tuple[int, ...], boxes: Iterable[Box]) -> bool:
    """Whether the boxes cover a tensor of that shape, each element once.

    In time linear in their number: boxes add up to the whole exactly where their corners, counted with alternating
    sign, add up to the corners of the whole.
    """
    balance: Counter[tuple[int, ...]] = Counter()
    for box in boxes:
        if any(first + size > whole for first, size, whole in zip(box.offsets, box.shape, shape, strict=True)):
            return False
        _corners(balance, box, 1)
    _corners(balance, Box((0,) * len(shape), shape), -1)
    return not any(balance.values())


def _corners(balance: Counter[tuple[int, ...]], box: Box, sign: int) -> None:
    if 0 in box.shape:
        return  # holds no element
    edges = (((first, 1), (first + size, -1)) for first, size in zip(box.offsets, box.shape, strict=True))
    for corner in product(*edges):
        balance[tuple(at for at, _ in corner)] += sign * math.prod(s for _, s in corner)
