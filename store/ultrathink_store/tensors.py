"""The safetensors format: a length, a JSON header, and tensors as plain bytes without gaps. Strict both ways."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ultrathink_store.records import Unreadable, no_constant, once

ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E5M2": 1,
    "F8_E4M3": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "F64": 8,
    "I64": 8,
    "U64": 8,
}
"""Types of the format that whole bytes can hold."""

LENGTH_BYTES = 8
HEADER_MOST_BYTES = 100_000_000
"""The format's own limit."""
ALIGNMENT = 8
"""The format pads its header so that data begins aligned."""
DIMENSIONS_MOST = 8
DIMENSION_MOST = 2**48


@dataclass(frozen=True, slots=True)
class Span:
    """One tensor of a file. `start` counts from the file's first byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file holds: its tensors by key, free text beside them, and the size that the file must have."""

    tensors: Mapping[str, Span]
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)


def byte_length(dtype: str, shape: Iterable[int]) -> int:
    """Bytes of a tensor of that type and shape."""
    return ITEM_BYTES[dtype] * math.prod(shape)


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuses shapes that no model has and that could only be meant to hurt."""
    if len(shape) > DIMENSIONS_MOST or any(not 0 <= size <= DIMENSION_MOST for size in shape):
        raise Unreadable(f"shape {list(shape)[:DIMENSIONS_MOST]} is no shape of a tensor")


def encode_header(
    tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytes, Header]:
    """The bytes that begin a file of these (key, dtype, shape), whose data follow in the same order."""
    plain: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    lengths: dict[str, int] = {}
    offset = 0
    for key, dtype, shape in tensors:
        if key in plain or key == "__metadata__":
            raise ValueError(f"{key} cannot be the name of two tensors")
        lengths[key] = byte_length(dtype, shape)
        plain[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + lengths[key]]}
        offset += lengths[key]
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > HEADER_MOST_BYTES:
        raise ValueError("too many tensors for one file")
    begin = len(text).to_bytes(LENGTH_BYTES, "little") + text
    return begin, parse_header(begin, len(begin) + offset)


def header_bytes(first: bytes, size: int) -> int:
    """From a file's first bytes: where its data begin."""
    if len(first) < LENGTH_BYTES:
        raise Unreadable("the file is shorter than the length of its header")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if length > HEADER_MOST_BYTES or LENGTH_BYTES + length > size:
        raise Unreadable(f"a header of {length} bytes does not fit into the file")
    return LENGTH_BYTES + length


def parse_header(begin: bytes, size: int) -> Header:
    """Reads the first bytes of a file of `size` bytes: at least its whole header."""
    data = header_bytes(begin, size)
    text = begin[LENGTH_BYTES:data]
    if len(text) != data - LENGTH_BYTES or not text.startswith(b"{"):
        raise Unreadable("the header is not whole")
    try:
        plain = json.loads(text, object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the header is not JSON: {str(error)[:200]}") from error
    if not isinstance(plain, dict):
        raise Unreadable("the header is not an object")
    metadata = plain.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Unreadable("the header's metadata are not texts")
    tensors = {key: _span(key, entry, data, size) for key, entry in plain.items()}
    _without_gaps(tensors.values(), data, size)
    return Header(tensors, size, metadata)


def _span(key: str, entry: object, data: int, size: int) -> Span:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise Unreadable(f"{key}: not an entry of a header")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise Unreadable(f"{key}: unknown type {str(dtype)[:20]}")
    if not _integers(shape) or not _integers(offsets) or len(offsets) != 2:
        raise Unreadable(f"{key}: shape and offsets are not whole numbers")
    check_shape(tuple(shape))
    begin, end = offsets
    if not begin <= end <= size - data or end - begin != byte_length(dtype, shape):
        raise Unreadable(f"{key}: its bytes do not match its shape or lie outside the file")
    return Span(dtype, tuple(shape), data + begin, end - begin)


def _integers(found: object) -> bool:
    return isinstance(found, list) and all(type(number) is int and number >= 0 for number in found)


def _without_gaps(spans: Iterable[Span], data: int, size: int) -> None:
    """No byte of the data belongs to no tensor or to two."""
    position = data
    for span in sorted(spans, key=lambda span: (span.start, span.length)):
        if span.start != position:
            raise Unreadable("tensors overlap or leave a gap")
        position += span.length
    if position != size:
        raise Unreadable("the file is longer or shorter than its tensors")
