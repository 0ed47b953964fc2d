"""Which files hold documents, and how they are cut into pieces of work that processes share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .refusals import file_missing, unfit

Kind = Literal["text", "jsonl", "parquet"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
PACKED = (".gz", ".zst")
UNIT_BYTES = 32 << 20
"""Of a JSONL file: some tens of seconds of work, and what a killed run loses of it."""


@dataclass(frozen=True)
class Unit:
    """A piece of work: a whole file, the lines of a JSONL file that begin in first:last, or row groups of a Parquet."""

    path: str
    kind: Kind
    first: int
    last: int
    stamp: str
    """Size and time of the file: another content is another unit."""

    @property
    def name(self) -> str:
        return f"{self.path}:{self.first}-{self.last}:{self.stamp}"


def find(names: Sequence[str]) -> list[Unit]:
    """All units of files and folders, in an order that depends on names alone."""
    units: list[Unit] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(found for found in path.rglob("*") if found.is_file() and kind_of(found))
            if not files:
                raise unfit(name, f"the folder holds no file that ends in {', '.join(KINDS)}")
        elif path.is_file():
            files = [path]
        else:
            raise file_missing(name)
        for file in files:
            units += _cut(file)
    if not units:
        raise unfit(", ".join(names), "all files are empty")
    return units


def kind_of(path: Path) -> Kind | None:
    name = path.with_suffix("") if path.suffix in PACKED else path
    kind = KINDS.get(name.suffix.lower())
    return None if kind == "parquet" and path.suffix in PACKED else kind


def _cut(path: Path) -> list[Unit]:
    kind = kind_of(path)
    if kind is None:
        raise unfit(
            str(path), f"it ends in none of {', '.join(KINDS)}, with {' or '.join(PACKED)} behind it or without"
        )
    if not os.access(path, os.R_OK):
        raise unfit(str(path), "this user may not read it")
    stat = path.stat()
    stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
    if kind == "parquet":
        cuts = [(group, group + 1) for group in range(_row_groups(path))]
    elif kind == "jsonl" and path.suffix not in PACKED:
        cuts = [(at, min(at + UNIT_BYTES, stat.st_size)) for at in range(0, stat.st_size, UNIT_BYTES)]
    else:
        cuts = [(0, stat.st_size)] if stat.st_size else []
    return [Unit(str(path), kind, first, last, stamp) for first, last in cuts]


def _row_groups(path: Path) -> int:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            return int(file.metadata.num_row_groups)
    except (ArrowException, OSError) as error:
        raise unfit(str(path), f"it is no Parquet file: {error}") from error
