"""The manifest: an honest one passes, and whoever can write to the bucket gains nothing by writing another."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_store.manifest import Manifest, read_manifest
from ultrathink_store.records import CheckpointRef, Unreadable, decode, encode

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

UID = "0b5f3c1e-9a51-4c1e-8f7e-0d9b6f6f2a11"
REF = CheckpointRef(uid=UID, epoch=2, step=50)
SHA = "ab" * 32


def honest() -> dict[str, Any]:
    """Two ranks, each with half of the rows of one tensor behind a header of 100 bytes."""
    piece = {"key": "w", "shape": [2, 3], "start": 100, "length": 24, "sha256": SHA}
    return {
        "version": 1,
        "uid": UID,
        "epoch": 2,
        "step": 50,
        "createdAt": "2026-01-01T00:00:00Z",
        "files": [{"name": f"shard-{rank}.safetensors", "size": 124, "sha256": SHA} for rank in (0, 1)],
        "tensors": {
            "w": {
                "dtype": "F32",
                "shape": [4, 3],
                "pieces": [
                    {**piece, "file": "shard-0.safetensors", "offsets": [0, 0]},
                    {**piece, "file": "shard-1.safetensors", "offsets": [2, 0]},
                ],
            }
        },
        "state": {"step": 50, "cursor": {"i": 3}},
    }


def read(plain: Any) -> Manifest:
    return read_manifest(json.dumps(plain).encode(), REF)


def test_an_honest_manifest_is_read() -> None:
    assert read(honest()).tensors["w"].shape == (4, 3)


def _first_file(value: str) -> Callable[[dict[str, Any]], None]:
    def change(plain: dict[str, Any]) -> None:
        plain["files"][0]["name"] = value
        plain["tensors"]["w"]["pieces"][0]["file"] = value

    return change


def _piece(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda plain: plain["tensors"]["w"]["pieces"][0].update(values)


def _tensor(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda plain: plain["tensors"]["w"].update(values)


def _top(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda plain: plain.update(values)


def _bomb(plain: dict[str, Any]) -> None:
    """10^12 elements out of the same 24 bytes."""
    pieces = plain["tensors"]["w"]["pieces"]
    plain["tensors"]["w"]["shape"] = [4, 3]
    pieces[1].update(file="shard-0.safetensors")


HOSTILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "a file above": _first_file("../shard-0.safetensors"),
    "a file far above": _first_file("../../../other/epoch-1/step-1/shard-0.safetensors"),
    "an absolute file": _first_file("/etc/passwd"),
    "an encoded climb": _first_file("%2e%2e%2fshard-0.safetensors"),
    "a climb by backslash": _first_file("..\\shard-0.safetensors"),
    "a file of another job": _first_file("f0f0f0f0-0000-0000-0000-000000000000/epoch-1/step-1/shard-0.safetensors"),
    "a URI": _first_file("s3://other/shard-0.safetensors"),
    "a newline behind the name": _first_file("shard-0.safetensors\n"),
    "a NUL in the name": _first_file("shard-0\0.safetensors"),
    "a pickle": _first_file("shard-0.pkl"),
    "a number with zeros": _first_file("shard-00.safetensors"),
    "a digit of another script": _first_file("shard-٣.safetensors"),
    "another job's uid": _top(uid="f0f0f0f0-0000-0000-0000-000000000000"),
    "another epoch": _top(epoch=1),
    "another step": _top(step=51),
    "a uid that climbs": _top(uid="../x"),
    "a later format": _top(version=2),
    "an unknown field": _top(code="import os"),
    "a step as text": _top(step="50"),
    "a fractional step": _top(step=50.5),
    "no files": _top(files=[]),
    "the same file twice": lambda plain: plain["files"].append(plain["files"][0]),
    "a negative size": lambda plain: plain["files"][0].update(size=-1),
    "a size of a petabyte": lambda plain: plain["files"][0].update(size=10**15),
    "no hash": lambda plain: plain["files"][0].update(sha256=""),
    "a hash in capitals": lambda plain: plain["files"][0].update(sha256="AB" * 32),
    "a file that is not listed": _piece(file="shard-7.safetensors"),
    "bytes behind the end": _piece(start=101),
    "bytes before the start": _piece(start=-1),
    "a length that is not the shape's": _piece(length=23),
    "a piece above 64 MiB": _piece(length=65 << 20),
    "10^12 elements in a piece": _piece(shape=[10**12, 3]),
    "10^12 elements in a tensor": _tensor(shape=[10**12, 3]),
    "a dimension beyond all": _tensor(shape=[2**63, 3]),
    "nine dimensions": _tensor(shape=[1] * 9),
    "a hole": lambda plain: plain["tensors"]["w"]["pieces"].pop(),
    "an overlap": _piece(offsets=[1, 0]),
    "a piece outside the tensor": _piece(offsets=[3, 0]),
    "a piece of other dimensions": _piece(offsets=[0], shape=[6]),
    "a negative offset": _piece(offsets=[-1, 0]),
    "an unknown type": _tensor(dtype="OBJECT"),
    "a type of another width": _tensor(dtype="F64"),
    "the same bytes twice": _bomb,
    "a tensor name with a control character": lambda plain: plain["tensors"].update(
        {"w\x1b[31m": plain["tensors"]["w"]}
    ),
}


@pytest.mark.fault("N34", "N35", "N37")
@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    plain = copy.deepcopy(honest())
    change(plain)
    with pytest.raises(Unreadable):
        read(plain)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94", id="a pickle"),
        pytest.param(b"[" * 200_000, id="a deep nest"),
        pytest.param(b'{"state":' * 100_000, id="a deep nest of objects"),
        pytest.param(json.dumps(honest())[:-1].encode(), id="torn"),
        pytest.param(json.dumps(honest()).replace('"step": 50', '"step": 50, "step": 50').encode(), id="a name twice"),
        pytest.param(json.dumps(honest()).replace('"i": 3', '"i": NaN').encode(), id="not a number"),
        pytest.param(json.dumps(honest()).replace('"i": 3', '"i": ' + "9" * 5000).encode(), id="an endless number"),
        pytest.param(json.dumps(honest()).encode("utf-16"), id="another encoding"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_manifest(data, REF)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@unhurried
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), json_values, max_size=4))
def test_state_comes_back_exactly_with_all_digits(state: dict[str, Any]) -> None:
    manifest = read(honest()).model_copy(update={"state": state})
    back = decode(Manifest, encode(manifest)).state
    assert json.dumps(back) == json.dumps(state)


def test_a_number_that_json_cannot_say_is_refused_when_written() -> None:
    with pytest.raises(Unreadable):
        encode(read(honest()).model_copy(update={"state": {"loss": float("nan")}}))
