"""Rows of token shards: every token in its place, nothing held out is learned from, nothing damaged is read."""

import hashlib
import random
from pathlib import Path

import pytest
import torch

from ultrathink_api.errors import Refused
from ultrathink_planner.plan import DataStage
from ultrathink_trainer.data import tokens as module
from ultrathink_trainer.data.loader import Cursor, Loader
from ultrathink_trainer.data.rows import Source
from ultrathink_trainer.data.shards import HEADER_BYTES
from unit.trainer.data.parts.datasets import make, opened

LENGTH = 16
ROWS = 8


def refusal(*uris: str, **options: object) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        opened(*uris, **options)  # type: ignore[arg-type]
    return refused.value.problem.code, refused.value.problem.field


def shard_of(folder: Path, split: str = "train", number: int = 1) -> Path:
    return sorted((folder / split).iterdir())[number]


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_a_pass_reads_every_row_once_across_shards(tmp_path: Path, dtype: str) -> None:
    source = opened(make(tmp_path, dtype=dtype))
    rows = source.rows(range(999 // LENGTH))
    assert sorted(row[0] for row in rows) == list(range(1, 999 - LENGTH, LENGTH))
    for row in rows:
        assert row.tolist() == list(range(row[0], row[0] + LENGTH + 1))


def test_no_held_out_token_is_ever_trained_on(tmp_path: Path) -> None:
    source = opened(make(tmp_path))
    assert source.rows(range(500)).max() <= 1_000 < source.held_out_rows(range(500)).min()


def test_held_out_rows_are_the_same_for_every_seed(tmp_path: Path) -> None:
    uri = make(tmp_path)
    first, second = (opened(uri, seed=seed) for seed in (1, 2))
    assert (first.held_out_rows(range(20)) == second.held_out_rows(range(20))).all()
    assert (first.rows(range(20)) != second.rows(range(20))).any()


def test_a_mixture_keeps_its_weights_exactly(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two", first=3_000)
    rows = opened(one, two, weights=(7, 3)).rows(range(100))
    assert sum(row[0] < 3_000 for row in rows) == 70


def test_a_curriculum_changes_what_is_trained_on_and_not_what_is_measured(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two", first=3_000)
    plain, later = opened(one, two), opened(one, two, curriculum=[DataStage(first_row=50, weights=(0, 1))])
    assert (later.rows(range(50)) == plain.rows(range(50))).all()
    assert (later.rows(range(50, 80))[:, 0] >= 3_000).all()
    assert (later.held_out_rows(range(80)) == plain.held_out_rows(range(80))).all()
    assert later.fingerprint != plain.fingerprint


def test_the_fingerprint_is_of_the_tokens_and_their_order_not_of_the_place(tmp_path: Path) -> None:
    uri, copy, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", first=2)
    same = opened(uri).fingerprint
    assert opened(copy).fingerprint == same
    assert (opened(copy).rows(range(50)) == opened(uri).rows(range(50))).all()
    different = {
        opened(other).fingerprint,
        opened(uri, seed=1).fingerprint,
        opened(uri, length=8).fingerprint,
        opened(uri, other).fingerprint,
        opened(uri, other, weights=(2, 1)).fingerprint,
    }
    assert len(different | {same}) == 6


def stream(source: Source, ranks_of_steps: list[int], kills: int = 0, saves: int = 3) -> str:
    """Hash of all tokens and labels of a run with that many data ranks each step; at a kill it goes back to the last
    save, as a job does, and what it did since is done again."""
    chance = random.Random(7)
    deaths = sorted(chance.sample(range(1, len(ranks_of_steps)), kills))
    digests: dict[int, bytes] = {}
    cursor = saved = Cursor(source.fingerprint, skips=((40, 52),))
    step = saved_step = 0
    while step < len(ranks_of_steps):
        if deaths and step == deaths[0]:
            deaths.pop(0)
            cursor, step = Cursor.load(saved.dump(), fingerprint=source.fingerprint), saved_step
            continue
        ranks = ranks_of_steps[step]
        shares = []
        for rank in range(ranks):
            rows, after = Loader(source, ROWS, rank, ranks).next(cursor)
            shares.append(torch.stack([rows.tokens_BT, rows.labels_BT]))
        digest = torch.stack(shares, dim=2).flatten(1, 2).numpy().tobytes()
        assert digests.setdefault(step, digest) == digest, "a step that is done again sees the same rows"
        cursor, step = after, step + 1
        if step % saves == 0:
            saved, saved_step = cursor, step
    return hashlib.sha256(b"".join(digests[number] for number in sorted(digests))).hexdigest()


def test_the_token_stream_is_the_same_on_any_number_of_ranks_and_through_any_number_of_kills(tmp_path: Path) -> None:
    source = opened(make(tmp_path / "a"), make(tmp_path / "b", first=2_000), weights=(3, 1))
    chance = random.Random(3)
    steps = 60
    undisturbed = stream(source, [1] * steps)
    for ranks in (2, 4, 8):
        assert stream(source, [ranks] * steps) == undisturbed
    assert stream(source, [chance.choice((1, 2, 4, 8)) for _ in range(steps)], kills=20) == undisturbed


def test_a_model_with_too_few_ids_is_refused(tmp_path: Path) -> None:
    assert refusal(make(tmp_path), vocabulary=4_999) == ("UTK0202", "spec.model.vocabulary")


def test_two_tokenizers_are_refused(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two", tokenizer=b"another")
    assert refusal(one, two) == ("UTK0213", "spec.data.mixture[1].uri")


def test_a_shard_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    uri = make(tmp_path / "one")
    make(tmp_path / "two", tokenizer=b"another")
    shard_of(tmp_path / "one").write_bytes(shard_of(tmp_path / "two").read_bytes())
    assert refusal(uri) == ("UTK0213", "spec.data.uri")


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    assert refusal(f"file://{tmp_path}/nothing") == ("UTK0211", "spec.data.uri")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "ultrathink-tokens/9"}'])
def test_an_index_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    uri = make(tmp_path)
    (tmp_path / "index.json").write_text(text)
    assert refusal(uri) == ("UTK0211", "spec.data.uri")


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    uri = make(tmp_path)
    shard_of(tmp_path).unlink()
    assert refusal(uri) == ("UTK0212", "spec.data.uri")


@pytest.mark.parametrize("left", [0, 10, HEADER_BYTES, 200])
def test_a_shard_that_was_cut_off_is_refused(tmp_path: Path, left: int) -> None:
    uri = make(tmp_path)
    shard = shard_of(tmp_path)
    shard.write_bytes(shard.read_bytes()[:left])
    assert refusal(uri) == ("UTK0212", "spec.data.uri")


@pytest.mark.parametrize("at", [0, 9, 13, 17, HEADER_BYTES, HEADER_BYTES + 599, -1])
def test_a_single_wrong_byte_is_refused_before_the_first_step(tmp_path: Path, at: int) -> None:
    uri = make(tmp_path)
    shard = shard_of(tmp_path)
    data = bytearray(shard.read_bytes())
    data[at] ^= 1
    shard.write_bytes(data)
    assert refusal(uri)[0] in {"UTK0212", "UTK0213"}


def test_large_data_are_checked_block_by_block_as_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_AT_OPEN", 0)
    uri = make(tmp_path)
    shard = shard_of(tmp_path)
    data = bytearray(shard.read_bytes())
    data[HEADER_BYTES + 100] ^= 1
    shard.write_bytes(data)
    source = opened(uri)
    with pytest.raises(Refused) as refused:
        source.rows(range(62))
    assert refused.value.problem.code == "UTK0212"


def test_an_id_that_the_index_rules_out_is_refused(tmp_path: Path) -> None:
    uri = make(tmp_path)
    path = tmp_path / "index.json"
    path.write_text(path.read_text().replace('"vocabulary": 5000', '"vocabulary": 600'))
    source = opened(uri)
    with pytest.raises(Refused) as refused:
        source.rows(range(62))
    assert refused.value.problem.code == "UTK0202"


def test_data_shorter_than_a_row_are_refused(tmp_path: Path) -> None:
    uri = make(tmp_path, held_out=LENGTH)
    assert refusal(uri) == ("UTK0215", "spec.data.uri")
    assert opened(uri, length=LENGTH - 1)
