"""The check finds what is wrong, all of it, and nothing in what is sound."""

from pathlib import Path
from typing import Any

import numpy
import pytest

from ultrathink_store import open_store
from ultrathink_trainer.data.index import Index, Split, TokenizerEntry
from ultrathink_trainer.data.prepare.check import check
from ultrathink_trainer.data.writing import SplitWriter, commit, put, tokenizer_key
from unit.trainer.data.parts.corpus import prepared, texts, write_jsonl
from unit.trainer.data.parts.datasets import TOKENIZER

END = 0


def data_set(folder: Path, vocabulary: int = 100, **splits: list[list[int]]) -> dict[str, Any]:
    """A data set of these documents in shards of five tokens, and what the check says of it."""
    import hashlib

    store, sha256 = open_store(f"file://{folder}"), hashlib.sha256(TOKENIZER).hexdigest()
    put(store, tokenizer_key(sha256), TOKENIZER)
    made: dict[str, Split] = {}
    for name, documents in splits.items():
        writer = SplitWriter(store, name.replace("_", "-"), "uint16", sha256, 5)
        for document in documents:
            writer.add(numpy.array([*document, END], "uint16"), 1)
        made[name.replace("_", "-")] = writer.close()
    entry = TokenizerEntry(file=tokenizer_key(sha256), sha256=sha256)
    commit(store, Index(dtype="uint16", vocabulary=vocabulary, end_token=END, tokenizer=entry, splits=made))
    return check(f"file://{folder}")


def test_what_was_prepared_is_sound(tmp_path: Path) -> None:
    index = prepared(tmp_path, write_jsonl(tmp_path / "a.jsonl", texts()))
    said = check(f"file://{tmp_path / 'out'}")
    assert said["sound"] and not said["problems"] and not said["leaks"]
    for name, split in index.splits.items():
        found = said["splits"][name]
        assert (found["tokens"], found["documents"]) == (split.tokens, split.documents)
        assert (found["empty"], found["duplicates"]) == (0, 0)


def test_documents_are_counted_across_shards(tmp_path: Path) -> None:
    said = data_set(tmp_path, train=[[1, 2, 3], list(range(4, 40)), [7], [1, 2, 3], []], held_out=[[50]])
    found = said["splits"]["train"]
    assert (found["documents"], found["duplicates"], found["empty"], found["range"]) == (5, 1, 1, [0, 39])
    assert said["sound"], "what is only not worth its place does no harm"


def test_a_document_in_both_splits_is_a_leak(tmp_path: Path) -> None:
    said = data_set(tmp_path, train=[[1, 2, 3], [4, 5]], held_out=[[6], [4, 5]])
    assert (said["leaks"], said["sound"]) == (1, False)


def test_an_id_out_of_range_is_named_with_its_shard(tmp_path: Path) -> None:
    said = data_set(tmp_path, vocabulary=9, train=[[1, 2, 9]], held_out=[[1]])
    assert not said["sound"]
    assert "train/00000" in said["problems"][0]["message"] and "id 9" in said["problems"][0]["message"]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other"])
def test_every_damaged_shard_is_named_and_the_rest_is_read(tmp_path: Path, damage: str) -> None:
    data_set(tmp_path, train=[[n] * 7 for n in range(1, 9)], held_out=[[50]])
    shards = sorted((tmp_path / "train").iterdir())
    for shard in (shards[1], shards[4]):
        data = bytearray(shard.read_bytes())
        data[66] ^= 1
        match damage:
            case "flip":
                shard.write_bytes(data)
            case "cut":
                shard.write_bytes(data[:-3])
            case "gone":
                shard.unlink()
            case "other":
                shard.write_bytes(shards[0].read_bytes())
    said = check(f"file://{tmp_path}")
    assert not said["sound"]
    assert [problem["code"] for problem in said["problems"]] == ["UTK0212", "UTK0212"]
    assert said["splits"]["train"]["tokens"] == 64 - 10


def test_another_tokenizer_than_the_index_names_is_found(tmp_path: Path) -> None:
    data_set(tmp_path, train=[[1]], held_out=[[2]])
    next(tmp_path.glob("tokenizer-*")).write_text("{}")
    assert [problem["code"] for problem in check(f"file://{tmp_path}")["problems"]] == ["UTK0213"]
