"""The order of rows: every row once a pass, another order each pass, exact shares, all of it without memory."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_trainer.data.order import WINDOW_CHUNKS, Curriculum, Quotas, Shuffle, permuted

SIZES = (1, 2, 3, 5, 16, 17, 100, 1_000)


@pytest.mark.parametrize("size", SIZES)
def test_a_permutation_takes_each_index_to_another(size: int) -> None:
    assert sorted(permuted(index, size, 12345) for index in range(size)) == list(range(size))


def test_another_key_is_another_permutation() -> None:
    first, second = ([permuted(index, 1_000, key) for index in range(1_000)] for key in (1, 2))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 10


@pytest.mark.parametrize(
    ("rows", "chunk"), [(1, 1), (7, 7), (7, 3), (100, 10), (103, 10), (WINDOW_CHUNKS * 8 + 5, 4), (1_301, 2), (700, 1)]
)
def test_a_pass_has_every_row_once(rows: int, chunk: int) -> None:
    shuffle = Shuffle(rows, chunk, "seed")
    for turn in range(3):
        assert sorted(shuffle.row(turn * rows + at) for at in range(rows)) == list(range(rows))


def test_each_pass_and_each_seed_has_its_own_order() -> None:
    shuffle, other = Shuffle(400, 4, "1"), Shuffle(400, 4, "2")
    first, second = ([shuffle.row(turn * 400 + at) for at in range(400)] for turn in range(2))
    third = [other.row(at) for at in range(400)]
    for a, b in ((first, second), (first, third), (first, list(range(400)))):
        assert sum(x == y for x, y in zip(a, b, strict=True)) < 20


def test_what_is_read_at_a_time_lies_in_few_places() -> None:
    chunk, rows = 8, 8 * WINDOW_CHUNKS * 5
    shuffle = Shuffle(rows, chunk, "seed")
    window = chunk * WINDOW_CHUNKS
    for start in range(0, rows, window):
        assert len({shuffle.row(at) // chunk for at in range(start, start + window)}) == WINDOW_CHUNKS


def test_rows_are_spread_as_by_chance() -> None:
    shuffle = Shuffle(10_000, 1_000, "seed")
    tenths = Counter(shuffle.row(at) // 1_000 for at in range(1_000))
    assert len(tenths) == 10
    assert all(60 <= count <= 140 for count in tenths.values()), "100 each, with a standard deviation of 9"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_quotas_are_exact_and_each_domain_is_read_in_order(weights: list[int]) -> None:
    quotas, total = Quotas.of(weights), sum(weights)
    seen = [0] * len(weights)
    for index in range(3 * total):
        domain, at = quotas.at(index)
        assert at == seen[domain]
        seen[domain] += 1
        assert abs(seen[domain] - weights[domain] * (index + 1) / total) < len(weights), "no domain waits long"
    assert seen == [3 * weight for weight in weights]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.tuples(*[st.integers(0, 9)] * 3).filter(any)), max_size=4),
    st.tuples(*[st.integers(1, 9)] * 3),
)
def test_a_curriculum_changes_shares_at_its_rows_and_each_domain_goes_on(
    changes: list[tuple[int, tuple[int, ...]]], weights: tuple[int, ...]
) -> None:
    starts = [sum(length for length, _ in changes[: number + 1]) for number in range(len(changes))]
    curriculum = Curriculum.of(weights, [(start, other) for start, (_, other) in zip(starts, changes, strict=True)])
    seen = [0, 0, 0]
    for first, last, asked in zip(
        [0, *starts], [*starts, 400], [weights, *(other for _, other in changes)], strict=True
    ):
        before = list(seen)
        for index in range(first, last):
            domain, at = curriculum.at(index)
            assert at == seen[domain]
            seen[domain] += 1
        for domain, weight in enumerate(asked):
            share = weight * (last - first) / sum(asked)
            assert abs(seen[domain] - before[domain] - share) < len(asked)
            assert weight or seen[domain] == before[domain], "a weight of 0 leaves it out"
