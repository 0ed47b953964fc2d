"""The global order: the same rows in the same order on any number of ranks, before and after a restart."""

import hashlib

import pytest
import torch

from ultrathink_api.errors import Refused
from ultrathink_planner.plan import DataSource
from ultrathink_trainer.data.loader import Cursor, Loader
from ultrathink_trainer.data.source import open_source
from ultrathink_trainer.data.stories import Stories

ROWS = 8


def loaders(ranks: int) -> list[Loader]:
    source = Stories(seed=3, length=16)
    return [Loader(source, ROWS, rank, ranks) for rank in range(ranks)]


def stream(plan: list[int]) -> str:
    """Hash of all tokens and labels of a run whose number of data ranks changes as the plan says, step by step."""
    digest = hashlib.sha256()
    cursor = Cursor(Stories(seed=3, length=16).fingerprint)
    for ranks in plan:
        shares = []
        for loader in loaders(ranks):
            rows, after = loader.next(cursor)
            shares.append(torch.stack([rows.tokens_BT, rows.labels_BT]))
        cursor = Cursor.load(after.dump(), fingerprint=cursor.fingerprint)
        digest.update(torch.stack(shares, dim=2).flatten(1, 2).numpy().tobytes())
    return digest.hexdigest()


def test_the_token_stream_is_the_same_on_1_2_and_4_ranks() -> None:
    assert stream([1] * 6) == stream([2] * 6) == stream([4] * 6)


def test_the_token_stream_is_the_same_when_ranks_change_in_between() -> None:
    assert stream([1] * 6) == stream([4, 2, 2, 1, 8, 4])


def test_labels_are_the_next_tokens() -> None:
    rows, _ = loaders(1)[0].next(Cursor(""))
    assert torch.equal(rows.tokens_BT[:, 1:], rows.labels_BT[:, :-1])
    assert rows.labels_BT[0].tolist() == Stories(seed=3, length=16).row(0)[1:]


def test_a_cursor_survives_json_and_knows_its_data() -> None:
    cursor = Cursor("abc", i=40, skips=((8, 16),))
    assert Cursor.load(cursor.dump(), fingerprint="abc") == cursor
    with pytest.raises(Refused) as refused:
        Cursor.load(cursor.dump(), fingerprint="other")
    assert refused.value.problem.code == "UTK0203"


def test_skipped_rows_are_never_read() -> None:
    cursor = Cursor("", i=2, skips=((3, 5), (5, 6)))
    assert cursor.take(3) == ([2, 6, 7], Cursor("", i=8, skips=cursor.skips))


def test_held_out_batches_are_cut_over_ranks_as_training_is() -> None:
    whole = loaders(1)[0].held_out(1).tokens_BT
    shares = torch.stack([loader.held_out(1).tokens_BT for loader in loaders(4)], dim=1)
    assert torch.equal(shares.flatten(0, 1), whole)


@pytest.mark.parametrize("uri", ["hf://wikitext", "http://host/shards", "builtin://other"])
def test_data_that_cannot_be_read_are_refused_and_never_replaced(uri: str) -> None:
    with pytest.raises(Refused) as refused:
        open_source([DataSource(uri=uri)], seed=0, length=16, vocabulary=512)
    assert (refused.value.problem.code, refused.value.problem.field) == ("UTK0201", "spec.data.uri")


def test_a_vocabulary_without_all_words_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        open_source([DataSource(uri="builtin://stories")], seed=0, length=16, vocabulary=100)
    assert (refused.value.problem.code, refused.value.problem.field) == ("UTK0202", "spec.model.vocabulary")


def test_other_data_than_the_job_names_are_refused() -> None:
    stories = [DataSource(uri="builtin://stories")]
    found = open_source(stories, seed=0, length=16, vocabulary=512).fingerprint
    assert open_source(stories, seed=0, length=16, vocabulary=512, fingerprint=found).fingerprint == found
    with pytest.raises(Refused) as refused:
        open_source(stories, seed=1, length=16, vocabulary=512, fingerprint=found)
    assert (refused.value.problem.code, refused.value.problem.field) == ("UTK0230", "spec.data.fingerprint")
    assert found in refused.value.problem.message
