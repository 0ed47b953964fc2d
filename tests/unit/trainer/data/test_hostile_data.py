"""Data with a pickle in it: refused or taken as bytes, never run."""

import json
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ultrathink_api.errors import Refused
from unit.trainer.data.parts.corpus import prepared, texts, tokenizer, write_jsonl
from unit.trainer.data.parts.datasets import make, opened


class Canary:
    """As a pickle it makes a folder when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.mark.fault("N38")
@pytest.mark.parametrize("pattern", ["index.json", "train/*", "held-out/*", "tokenizer*", "*"])
def test_a_pickle_in_the_place_of_any_file_of_a_data_set_is_refused(tmp_path: Path, canary: Path, pattern: str) -> None:
    folder = tmp_path / "data"
    uri = make(folder)
    replaced = [file for file in folder.rglob(pattern) if file.is_file()]
    for file in replaced:
        file.write_bytes(pickle.dumps(Canary(canary)))
    if pattern != "tokenizer*":  # its words are nobody's business but of those who decode
        assert replaced
        with pytest.raises(Refused):
            source = opened(uri)
            source.rows(range(20))
            source.held_out_rows(range(20))
    else:
        with suppress(Refused):
            opened(uri).rows(range(20))
    assert not canary.exists()


@pytest.mark.fault("N38")
@pytest.mark.parametrize("kind", ["jsonl", "txt", "parquet", "jsonl.gz", "jsonl.zst", "pkl", "tar", "npy"])
def test_a_pickle_among_what_is_prepared_is_refused_or_taken_as_bytes(tmp_path: Path, canary: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_jsonl(source / "honest.jsonl", texts())
    (source / f"a.{kind}").write_bytes(pickle.dumps(Canary(canary)))
    tokenizer(tmp_path)
    with suppress(Refused, UnicodeDecodeError):
        prepared(tmp_path, source)
    assert not canary.exists()


@pytest.mark.fault("N38")
def test_a_pickle_in_a_field_of_a_line_is_text(tmp_path: Path, canary: Path) -> None:
    line = json.dumps(
        {"text": pickle.dumps(Canary(canary), protocol=0).decode("latin-1") * 20, "__class__": "os.system"}
    )
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()) + line + "\n")
    prepared(tmp_path, source)
    opened(f"file://{tmp_path / 'out'}", vocabulary=320).rows(range(8))
    assert not canary.exists()
