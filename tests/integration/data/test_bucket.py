"""Data in a bucket, on a real S3 server: the same rows as from a folder, fetched once a node, in a bounded folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ultrathink_api.errors import Refused
from ultrathink_planner.plan import DataSource
from ultrathink_store import StorageSettings, open_store
from ultrathink_trainer.data import blocks
from ultrathink_trainer.data.prepare.check import check
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.data.tokens import Access, TokenRows
from unit.trainer.data.parts.corpus import prepared, texts, write_jsonl
from unit.trainer.data.parts.datasets import make

if TYPE_CHECKING:
    from testbed.s3 import S3Server

LENGTH = 16


@pytest.fixture
def bucket(s3_server: "S3Server", s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.env().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_bucket}/web"


def opened(uri: str, cache: Path, settings: StorageSettings | None = None) -> TokenRows:
    source = open_source([DataSource(uri=uri)], seed=1, length=LENGTH, vocabulary=5_000, access=Access(cache, settings))
    assert isinstance(source, TokenRows)
    return source


def test_a_bucket_gives_the_rows_that_a_folder_gives(bucket: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "folder")
    source, same = opened(make(bucket), tmp_path / "cache"), opened(folder, tmp_path / "none")
    assert source.fingerprint == same.fingerprint
    assert (source.rows(range(200)) == same.rows(range(200))).all()
    assert (source.held_out_rows(range(20)) == same.held_out_rows(range(20))).all()
    assert not (tmp_path / "none").exists()


def test_what_one_rank_has_fetched_the_next_one_reads_from_the_disk(
    bucket: str, tmp_path: Path, s3_server: "S3Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    make(bucket)
    first, second = opened(bucket, tmp_path), opened(bucket, tmp_path)
    expected = first.rows(range(62))
    fetched: list[int] = []
    fetch = blocks.Shard.fetch
    monkeypatch.setattr(blocks.Shard, "fetch", lambda shard, block: fetched.append(block) or fetch(shard, block))
    assert (second.rows(range(62)) == expected).all()
    assert fetched == []


def test_a_damaged_piece_of_the_cache_is_fetched_again(bucket: str, tmp_path: Path) -> None:
    make(bucket)
    expected = opened(bucket, tmp_path).rows(range(62))
    for path in tmp_path.iterdir():
        if not path.name.startswith("."):
            path.write_bytes(path.read_bytes()[:-7])
    assert (opened(bucket, tmp_path).rows(range(62)) == expected).all()


def test_a_full_cache_makes_room_and_loses_no_row(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CACHE_BYTES", 1_500)
    monkeypatch.setattr(blocks.CachedBlocks.__init__, "__defaults__", (1_500,))
    make(bucket)
    source, same = opened(bucket, tmp_path / "small"), opened(make(tmp_path / "folder"), tmp_path / "none")
    for start in range(0, 186, 8):
        indices = range(start, start + 8)
        assert (source.rows(indices) == same.rows(indices)).all()
    kept = [path.stat().st_size for path in (tmp_path / "small").iterdir() if not path.name.startswith(".")]
    assert sum(kept) <= 1_500 + 600, "at most the block that was fetched last is too many"


def test_damage_in_the_bucket_is_refused(bucket: str, tmp_path: Path) -> None:
    make(bucket)
    store = open_store(bucket)
    key = next(entry.key for entry in store.list("train"))
    data = bytearray(store.read(key))
    data[80] ^= 1
    store.write(key, bytes(data))
    source = opened(bucket, tmp_path)
    with pytest.raises(Refused) as refused:
        source.rows(range(62))
    assert (refused.value.problem.code, refused.value.problem.field) == ("UTK0212", "spec.data.uri")
    damaged = [problem for problem in check(bucket)["problems"] if "damaged" in problem["message"]]
    assert [(problem["code"], key in problem["message"]) for problem in damaged] == [("UTK0212", True)]


def test_a_missing_bucket_and_a_missing_data_set_are_told_apart(bucket: str, tmp_path: Path) -> None:
    codes = []
    for uri in (bucket, "s3://no-such-bucket-anywhere/web"):
        with pytest.raises(Refused) as refused:
            opened(uri, tmp_path)
        codes.append((refused.value.problem.code, refused.value.problem.field))
    assert codes == [("UTK0211", "spec.data.uri"), ("UTK0302", "spec.data.uri")]


def test_shards_are_prepared_into_a_bucket(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    local = prepared(tmp_path, source)
    assert prepared(tmp_path, source, to=bucket) == local
    assert check(bucket)["sound"]
    assert not list((tmp_path / "cache").rglob("*.npz"))
