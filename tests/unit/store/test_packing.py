"""Compressed pieces: the same bytes come back, each alone, and no frame is believed."""

import random
from pathlib import Path

import pytest
import zstandard

from ultrathink_store import Corrupt, JobStore, Manifest, Part, Start, merge, open_job
from ultrathink_store.manifest import Compression
from ultrathink_store.packing import Packer, pack, ratio_of, unpack
from ultrathink_store.records import Unreadable

EVEN = bytes(range(8)) * 512
NOISE = random.Random(7).randbytes(4096)
PARTS = [
    Part("even", "F32", (1024,), (0,), (1024,)),
    Part("nothing", "F32", (0, 4), (0, 0), (0, 4)),
    Part("noise", "F32", (2, 512), (0, 0), (2, 512)),
]


@pytest.fixture
def job(tmp_path: Path) -> JobStore:
    made = open_job(f"file://{tmp_path}", None, "job", "uid-1")
    made.claim("none")
    made.take_epoch(1, Start(epoch=1, created_at=""))
    return made


def saved(job: JobStore, portions: int) -> Manifest:
    """The three tensors, written in portions of so many bytes; committed as step 3."""
    data = EVEN + NOISE
    with job.shard_writer(1, 3, 0, PARTS, packed=True) as out:
        for start in range(0, len(data), portions):
            out.write(data[start : start + portions])
    files, tensors = merge([out.shard])
    ratio = ratio_of([piece for entry in tensors.values() for piece in entry.pieces])
    manifest = Manifest(
        uid="uid-1", epoch=1, step=3, created_at="", files=files, tensors=tensors, compression=Compression(ratio=ratio)
    )
    job.commit(1, 3, manifest)
    return manifest


@pytest.mark.parametrize("portions", [1000, 4096, 100_000])
def test_the_same_bytes_come_back_whatever_the_portions_were(job: JobStore, portions: int) -> None:
    saved(job, portions)
    checkpoint = job.open(job.find("latest"))
    read = {name: checkpoint.read_piece(entry.pieces[0]) for name, entry in checkpoint.manifest.tensors.items()}
    assert read == {"even": EVEN, "nothing": b"", "noise": NOISE}
    assert checkpoint.verify().ok


def test_what_packing_does_not_make_smaller_stays_as_it_is_and_the_ratio_is_kept(job: JobStore) -> None:
    manifest = saved(job, 4096)
    pieces = {name: entry.pieces[0] for name, entry in manifest.tensors.items()}
    assert (pieces["noise"].unpacked, pieces["even"].unpacked) == (None, len(EVEN))
    assert manifest.compression is not None and 1.5 < manifest.compression.ratio < 2.0
    assert manifest.size < len(EVEN) + len(NOISE)


def test_a_flipped_bit_of_a_packed_piece_is_found_by_its_hash(job: JobStore, tmp_path: Path) -> None:
    piece = saved(job, 4096).tensors["even"].pieces[0]
    (file,) = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[piece.start] ^= 1
    file.write_bytes(data)
    checkpoint = job.open(job.find("latest"))
    with pytest.raises(Corrupt, match="have changed"):
        checkpoint.read_piece(piece)
    assert not checkpoint.verify().ok


@pytest.mark.parametrize(
    "frame",
    [
        pack(bytes(100)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64)),
        pack(bytes(64))[:-3],
        b"no frame at all",
        b"",
    ],
    ids=["another length", "length unsaid", "cut short", "no frame", "nothing"],
)
def test_a_frame_is_unpacked_only_if_it_is_what_the_manifest_says(frame: bytes) -> None:
    with pytest.raises(Unreadable):
        unpack(frame, 64)


def test_a_frame_that_claims_a_tebibyte_takes_no_memory() -> None:
    header = zstandard.ZstdCompressor(write_content_size=True).compressobj(size=1 << 40).compress(b"x")
    with pytest.raises(Unreadable):
        unpack(header or b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little"), 64)


def test_too_few_bytes_make_no_shard() -> None:
    packer = Packer("shard-0.safetensors", PARTS)
    packer.write(EVEN)
    with pytest.raises(AssertionError):
        packer.stored()
