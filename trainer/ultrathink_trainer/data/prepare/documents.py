"""Documents out of files, cleaned: what is the same text becomes the same characters."""

import gzip
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .inputs import Unit
from .refusals import unfit

CLEANING = 1
"""Version of clean(): another one makes other documents."""
BATCH_ROWS = 256
"""Rows of a Parquet file in memory at once."""
KEY_BYTES = 16

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LINE_ENDS = re.compile("[ \t]+$", re.MULTILINE)
_GAPS = re.compile("\n{3,}")


def clean(text: str) -> str:
    """One form of each character, no control characters, no space at line ends, at most one blank line in a row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("", _SURROGATES.sub("\ufffd", text))
    text = unicodedata.normalize("NFC", text)
    return _GAPS.sub("\n\n", _LINE_ENDS.sub("", text)).strip("\n").rstrip()


def key_of(text: str) -> bytes:
    """The same for texts that differ in white space only."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=KEY_BYTES).digest()


def read(unit: Unit, field: str, separator: str = "") -> Iterator[str]:
    """The documents of a unit as they are in the file. Raises Refused for what cannot be read, with its place."""
    try:
        if unit.kind == "parquet":
            yield from _parquet(unit, field)
        elif unit.kind == "jsonl":
            yield from _jsonl(unit, field)
        else:
            with Path(unit.path).open("rb") as file:
                text = _unpacked(unit.path, file).read().decode("utf-8")
            yield from text.split(separator) if separator else [text]
    except UnicodeDecodeError as error:
        raise unfit(unit.path, f"it is not UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, EOFError) as error:
        raise unfit(unit.path, str(error)) from error


def _unpacked(path: str, file: BinaryIO) -> BinaryIO | io.BufferedReader:
    if path.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=file))
    return io.BufferedReader(_Zstandard(file)) if path.endswith(".zst") else file


class _Zstandard(io.RawIOBase):
    """A packed file, whose damage is an error of the file like any other."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self._damaged: type[Exception] = zstandard.ZstdError
        self._reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            return int(self._reader.readinto(buffer))
        except self._damaged as error:
            raise OSError(f"its compression is damaged: {error}") from error


def _jsonl(unit: Unit, field: str) -> Iterator[str]:
    whole = unit.path.endswith((".gz", ".zst"))
    with Path(unit.path).open("rb") as opened:
        file = _unpacked(unit.path, opened)
        if unit.first and not whole:  # the line that began before belongs to the unit before
            file.seek(unit.first - 1)
            file.readline()
        at = unit.first if whole else file.tell()
        while whole or at < unit.last:
            line = file.readline()
            if not line:
                return
            if line.strip():
                yield _field(line, field, f"{unit.path}, byte {at}")
            at += len(line)


def _field(line: bytes, field: str, where: str) -> str:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise unfit(where, "the line is not UTF-8") from error
    except ValueError as error:
        raise unfit(where, f"the line is not JSON: {error}") from error
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise unfit(where, f"the line is no object with a text {field!r}; name the right one with --field")
    return text


def _parquet(unit: Unit, field: str) -> Iterator[str]:
    from pyarrow import ArrowException, parquet, types

    try:
        with parquet.ParquetFile(unit.path) as file:
            schema = file.schema_arrow
            column = schema.field(field) if field in schema.names else None
            if column is None or not (types.is_string(column.type) or types.is_large_string(column.type)):
                raise unfit(unit.path, f"it has no column of text {field!r}; name the right one with --field")
            groups = range(unit.first, unit.last)
            for batch in file.iter_batches(BATCH_ROWS, row_groups=list(groups), columns=[field]):
                yield from (text or "" for text in batch.column(0).to_pylist())
    except ArrowException as error:
        raise unfit(unit.path, f"it is no whole Parquet file: {error}") from error
