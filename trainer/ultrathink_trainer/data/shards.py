"""The token shard: one file of tokens that can be mapped into memory, and says by itself whether it is whole.

    64 bytes   header, little-endian: magic, version, bytes a token, tokens, tokens' tokenizer, CRC of the footer
    n tokens   unsigned integers of 2 or 4 bytes, little-endian: documents one after another, each with its end token
    footer     a CRC-32 for each block of 1 MiB of tokens, 4 bytes each; the last block may be shorter

A reader checks a block before it takes a token of it, so damage is found where it lies and never trained on.
"""

import struct
import zlib
from dataclasses import dataclass

import numpy

MAGIC = b"UTKTOKEN"
VERSION = 1
HEADER_BYTES = 64
BLOCK_BYTES = 1 << 20
"""What is checked, fetched and kept at once: long enough for a store's latency, short enough for one row's sake."""
CRC_BYTES = 4
_HEADER = struct.Struct("<8sIIQ32sI4x")
assert _HEADER.size == HEADER_BYTES
_WIDTHS = {"uint16": 2, "uint32": 4}


class Unfit(Exception):
    """Bytes that are not a shard, or not the shard that they should be; says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a shard says of itself."""

    dtype: str
    tokens: int
    tokenizer: str
    """SHA-256 of the tokenizer's file, in hex."""
    footer_crc: int

    @property
    def token_bytes(self) -> int:
        return _WIDTHS[self.dtype]

    @property
    def data_bytes(self) -> int:
        return self.tokens * self.token_bytes

    @property
    def blocks(self) -> int:
        return -(-self.data_bytes // BLOCK_BYTES)

    @property
    def footer_start(self) -> int:
        return HEADER_BYTES + self.data_bytes

    @property
    def file_bytes(self) -> int:
        return self.footer_start + CRC_BYTES * self.blocks

    def pack(self) -> bytes:
        digest = bytes.fromhex(self.tokenizer)
        return _HEADER.pack(MAGIC, VERSION, self.token_bytes, self.tokens, digest, self.footer_crc)


def parse_header(data: bytes) -> Header:
    """The header of a file that begins with these bytes."""
    if len(data) < HEADER_BYTES:
        raise Unfit(f"it has {len(data)} bytes, and a header has {HEADER_BYTES}")
    magic, version, width, tokens, digest, crc = _HEADER.unpack(data[:HEADER_BYTES])
    if magic != MAGIC:
        raise Unfit("it is not a token shard")
    if version != VERSION:
        raise Unfit(f"it has version {version} of the format, and version {VERSION} is read here")
    dtype = next((name for name, size in _WIDTHS.items() if size == width), None)
    if dtype is None:
        raise Unfit(f"its tokens have {width} bytes")
    if tokens == 0:
        raise Unfit("it holds no token")
    return Header(dtype, tokens, digest.hex(), crc)


def parse_footer(header: Header, data: bytes) -> "numpy.ndarray[tuple[int], numpy.dtype[numpy.uint32]]":
    """The CRC of each block."""
    if len(data) != CRC_BYTES * header.blocks or zlib.crc32(data) != header.footer_crc:
        raise Unfit("its footer is damaged or cut off")
    return numpy.frombuffer(data, "<u4")


def block_crc(data: bytes | memoryview) -> int:
    return zlib.crc32(data)


def encode(tokens: "numpy.ndarray[tuple[int], numpy.dtype[numpy.unsignedinteger]]", tokenizer: str) -> bytes:
    """A whole shard; `tokens` has the type that it is kept in."""
    assert tokens.dtype.name in _WIDTHS and len(tokens), "a shard holds tokens, of 2 or 4 bytes each"
    data = tokens.astype(tokens.dtype.newbyteorder("<"), copy=False).tobytes()
    view = memoryview(data)
    crcs = [block_crc(view[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES)]
    footer = numpy.array(crcs, "<u4").tobytes()
    header = Header(tokens.dtype.name, len(tokens), tokenizer, zlib.crc32(footer))
    return header.pack() + data + footer


def narrowest(vocabulary: int) -> str:
    """The type that ids below `vocabulary` are kept in."""
    return "uint16" if vocabulary <= 1 << 16 else "uint32"
