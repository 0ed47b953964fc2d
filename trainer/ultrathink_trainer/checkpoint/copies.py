"""Copies of a rank's state in memory that outlives it: two generations, each whole or not there.

The agent makes the memory and keeps it; whoever is forked next maps it again. A copy is read only where every rank has
the same one.
"""

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .held import Held
from .storage import DTYPE_NAMES

ALIGNMENT = 64
HEAD = struct.Struct("<8sQ32s")
"""Magic, length of the JSON, its hash; written last, and wiped first."""
MAGIC = b"UTKCOPY1"
META_BYTES = 1 << 20
"""Room for head and JSON: names of tensors, generator and cursor."""
GENERATIONS = 2
MOST_SHARE = 0.8
"""Of the memory that is free: the rest is for what a rank needs for a moment."""

Identity = tuple[int, int, str]
"""(epoch, step, digest): equal on all ranks, or it is not the same copy."""


class LeftOut(Exception):
    """There is no room for copies; says how much was needed and free."""


@dataclass(frozen=True)
class Copy:
    """What lies in one generation."""

    epoch: int
    step: int
    digest: str
    rank: int
    layout: str
    state: dict[str, Any]

    @property
    def identity(self) -> Identity:
        return self.epoch, self.step, self.digest


class Copies:
    """One rank's two generations. `fds` are memory files that somebody else keeps open."""

    def __init__(
        self, fds: Sequence[int], *, every: int, run: str, rank: int, since: int = 0, free: int | None = None
    ) -> None:
        assert len(fds) == GENERATIONS
        self.every, self._run, self._rank, self._since = every, run, rank, since
        self._free = free_bytes() if free is None else free
        self._slots = [_Slot(fd) for fd in fds]
        self.agreed = False
        """Whether all ranks were asked if they have room."""

    def due(self, step: int) -> bool:
        """The same on every rank: it looks at nothing but the number."""
        return step % self.every == 0

    def write(self, held: Mapping[str, Held], state: dict[str, Any], *, epoch: int, step: int) -> None:
        """Copy over the older generation. Raises `LeftOut` where two do not fit."""
        older = min(self._slots, key=lambda slot: slot.age)
        copy = Copy(epoch, step, digest(self._run, epoch, step, state), self._rank, layout_of(held), state)
        older.write(held, copy, self._free)

    def offers(self) -> list[Identity]:
        """What could be read here; of no attempt that began by throwing state away."""
        found = (slot.copy for slot in self._slots)
        return [copy.identity for copy in found if copy and copy.rank == self._rank and copy.epoch >= self._since]

    def fits(self, wanted: Identity, live: Mapping[str, Held]) -> bool:
        """Whether that copy is of these very boxes."""
        copy = self._slot(wanted).copy
        return copy is not None and copy.layout == layout_of(live)

    def read(self, wanted: Identity, live: Mapping[str, Held]) -> dict[str, Any]:
        """Fill the boxes and return what is not a tensor."""
        slot = self._slot(wanted)
        assert slot.copy is not None
        slot.read_into(live)
        return slot.copy.state

    def _slot(self, wanted: Identity) -> "_Slot":
        return next(slot for slot in self._slots if slot.copy is not None and slot.copy.identity == wanted)


class _Slot:
    """One memory file: head and JSON, then the boxes, one after the other."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map: mmap.mmap | None = None
        self._views: dict[str, torch.Tensor] = {}
        size = os.fstat(fd).st_size
        if size:
            self._map = mmap.mmap(fd, size)
        self.copy = self._read_meta()

    @property
    def age(self) -> tuple[int, int]:
        """The smallest goes first: nothing, then the oldest."""
        return (self.copy.epoch, self.copy.step) if self.copy else (-1, -1)

    def write(self, held: Mapping[str, Held], copy: Copy, free: int) -> None:
        self._fit(held, free)
        assert self._map is not None
        self.copy = None
        self._map[: len(MAGIC)] = bytes(len(MAGIC))  # from here on there is none, whenever we are killed
        for name, view in self._views.items():
            view.copy_(held[name].box)
        text = json.dumps({**copy.__dict__}).encode()
        if HEAD.size + len(text) > META_BYTES:
            raise LeftOut(f"{len(text)} bytes that are not tensors")
        self._map[HEAD.size : HEAD.size + len(text)] = text
        head = HEAD.pack(MAGIC, len(text), hashlib.sha256(text).digest())
        self._map[len(MAGIC) : HEAD.size] = head[len(MAGIC) :]
        self._map[: len(MAGIC)] = MAGIC
        self.copy = copy

    def read_into(self, live: Mapping[str, Held]) -> None:
        self._view(live)
        for name, view in self._views.items():
            live[name].box.copy_(view)

    def _fit(self, held: Mapping[str, Held], free: int) -> None:
        size = META_BYTES + sum(aligned(bytes_of(box.box)) for box in held.values())
        if self._map is None or len(self._map) != size:
            if GENERATIONS * size > free * MOST_SHARE:
                raise LeftOut(f"two copies of {size} bytes, {free} bytes are free")
            self._views = {}
            if self._map is not None:
                self._map.close()
            os.ftruncate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
        self._view(held)

    def _view(self, held: Mapping[str, Held]) -> None:
        if self._views.keys() == held.keys():
            return
        assert self._map is not None
        start = META_BYTES
        self._views = {}
        for name, box in held.items():
            whole = torch.frombuffer(self._map, dtype=box.box.dtype, count=box.box.numel(), offset=start)
            self._views[name] = whole.view(box.box.shape)
            start += aligned(bytes_of(box.box))

    def _read_meta(self) -> Copy | None:
        """What is there, if it was written to its end."""
        if self._map is None or len(self._map) < META_BYTES:
            return None
        magic, length, seal = HEAD.unpack(self._map[: HEAD.size])
        if magic != MAGIC or HEAD.size + length > META_BYTES:
            return None
        text = self._map[HEAD.size : HEAD.size + length]
        return Copy(**json.loads(text)) if hashlib.sha256(text).digest() == seal else None


def common(offers: Iterable[Iterable[Sequence[Any]]], *, at_least: int) -> Identity | None:
    """The newest copy that every rank has, of that step or a later one. Offers may have come through JSON."""
    every = [{(int(epoch), int(step), str(seal)) for epoch, step, seal in offer} for offer in offers]
    shared = set.intersection(*every) if every else set()
    return max((found for found in shared if found[1] >= at_least), default=None)


def digest(run: str, epoch: int, step: int, state: Mapping[str, Any]) -> str:
    """What all ranks must agree on: which run and plan, where, and all that is not a tensor."""
    plain = {name: value for name, value in state.items() if name != "generator"}
    return hashlib.sha256(json.dumps([run, epoch, step, plain], sort_keys=True).encode()).hexdigest()


def layout_of(held: Mapping[str, Held]) -> str:
    """Names, types and places of a rank's boxes."""
    boxes = [
        (name, DTYPE_NAMES[box.box.dtype], list(box.box.shape), list(box.whole), list(box.offsets))
        for name, box in held.items()
    ]
    return hashlib.sha256(json.dumps(boxes).encode()).hexdigest()


def bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def free_bytes(root: Path = Path("/")) -> int:
    """Memory that this process may still take: of the machine, and of its control group where that says less."""
    meminfo = (root / "proc/meminfo").read_text()
    available = next(int(line.split()[1]) << 10 for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    limit, used = (_number(root / "sys/fs/cgroup" / name) for name in ("memory.max", "memory.current"))
    return available if limit is None or used is None else min(available, max(0, limit - used))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
