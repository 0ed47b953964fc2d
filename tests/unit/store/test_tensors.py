"""The safetensors format: what we write the library reads, what it writes we read, and nothing else is read."""

import ctypes
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import TensorSpec, deserialize
from safetensors import serialize as library_writes

from ultrathink_store.records import Unreadable
from ultrathink_store.tensors import ITEM_BYTES, Header, encode_header, header_bytes, parse_header

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

LIBRARY_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
files = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
        lambda key: key != "__metadata__"
    ),
    st.tuples(st.sampled_from(sorted(LIBRARY_NAMES)), shapes),
    max_size=6,
)
texts = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)


def _bytes_of(dtype: str, shape: tuple[int, ...], salt: int) -> bytes:
    return bytes((salt + index) % 2 for index in range(ITEM_BYTES[dtype] * math.prod(shape)))


@unhurried
@given(files, texts)
def test_the_library_reads_what_we_write(
    tensors: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]
) -> None:
    begin, header = encode_header([(key, dtype, shape) for key, (dtype, shape) in tensors.items()], metadata)
    data = {key: _bytes_of(dtype, shape, salt) for salt, (key, (dtype, shape)) in enumerate(tensors.items())}
    file = begin + b"".join(data.values())
    assert len(file) == header.size
    read = {key: (entry["dtype"], tuple(entry["shape"]), bytes(entry["data"])) for key, entry in deserialize(file)}
    assert read == {key: (dtype, shape, data[key]) for key, (dtype, shape) in tensors.items()}


@unhurried
@given(files, texts)
def test_we_read_what_the_library_writes(
    tensors: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]
) -> None:
    data = {key: _bytes_of(dtype, shape, salt) for salt, (key, (dtype, shape)) in enumerate(tensors.items())}
    buffers = {key: ctypes.create_string_buffer(held, max(len(held), 1)) for key, held in data.items()}
    file = library_writes(
        {
            key: TensorSpec(
                dtype=LIBRARY_NAMES[dtype],
                shape=list(shape),
                data_ptr=ctypes.addressof(buffers[key]),
                data_len=len(data[key]),
            )
            for key, (dtype, shape) in tensors.items()
        },
        metadata or None,  # with an empty one the library writes a header that is no JSON
    )
    header = parse_header(file[: header_bytes(file[:8], len(file))], len(file))
    read = {
        key: (span.dtype, span.shape, file[span.start : span.start + span.length])
        for key, span in header.tensors.items()
    }
    assert read == {key: (dtype, shape, data[key]) for key, (dtype, shape) in tensors.items()}
    assert header.metadata == metadata


@unhurried
@given(st.binary(max_size=64), st.integers(0, 2**40))
def test_noise_is_refused_and_never_raises_anything_else(noise: bytes, size: int) -> None:
    try:
        parse_header(noise, size)
    except Unreadable:
        return
    assert header_bytes(noise, size) == size  # only an empty file can have been whole


def _file(header: object, data: bytes = b"\0" * 16) -> tuple[bytes, int]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + len(data)


def _entry(dtype: object = "F32", shape: object = (4,), offsets: object = (0, 16)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_plain_header_is_read() -> None:
    assert isinstance(parse_header(*_file({"w": _entry()})), Header)


@pytest.mark.fault("N33", "N35")
@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"w": _entry(offsets=(0, 12))}, id="fewer bytes than the shape has"),
        pytest.param({"w": _entry(offsets=(4, 20))}, id="outside the file"),
        pytest.param({"w": _entry(offsets=(-16, 0))}, id="before the data"),
        pytest.param({"w": _entry(shape=(10**12,), offsets=(0, 4 * 10**12))}, id="a giant shape"),
        pytest.param({"w": _entry(shape=(2**60, 2**60, 0), offsets=(0, 0))}, id="an overflowing shape of nothing"),
        pytest.param({"w": _entry(shape=(1,) * 9 + (4,))}, id="too many dimensions"),
        pytest.param({"w": _entry(shape=(4.0,))}, id="a fractional shape"),
        pytest.param({"w": _entry(shape=(True, 4))}, id="a shape of truth values"),
        pytest.param({"w": _entry(dtype="PICKLE")}, id="an unknown type"),
        pytest.param({"w": _entry(dtype=["F32"])}, id="a type that is a list"),
        pytest.param({"w": {**_entry(), "code": "x"}}, id="an unknown field"),
        pytest.param({"w": _entry(), "v": _entry()}, id="two tensors in the same bytes"),
        pytest.param({"w": _entry(shape=(3,), offsets=(0, 12))}, id="bytes of no tensor"),
        pytest.param({"w": _entry(), "__metadata__": {"a": 1}}, id="metadata that are no texts"),
        pytest.param([1], id="a list"),
        pytest.param(
            b'{"w":' + json.dumps(_entry()).encode() + b',"w":' + json.dumps(_entry()).encode() + b"}",
            id="a name twice",
        ),
        pytest.param(b"{" + b"[" * 100_000, id="a deep nest"),
        pytest.param(b"\x80\x04\x95cposix\nsystem\n", id="a pickle"),
    ],
)
def test_a_lying_header_is_refused(header: object) -> None:
    with pytest.raises(Unreadable):
        parse_header(*_file(header))


@pytest.mark.fault("N35")
@pytest.mark.parametrize(
    "first", [b"", b"\1\0\0", (2**63).to_bytes(8, "little") + b"{}", (10**9).to_bytes(8, "little") + b"{}"]
)
def test_a_lying_length_is_refused_before_anything_is_read(first: bytes) -> None:
    with pytest.raises(Unreadable):
        header_bytes(first, 1 << 50 if len(first) > 8 and first[3] else 100)
