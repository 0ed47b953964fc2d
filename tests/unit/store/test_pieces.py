"""Cutting tensors into pieces, and telling whether pieces make a tensor up."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_store.pieces import Box, cut, tile

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

shapes = st.lists(st.integers(0, 7), max_size=4).map(tuple)


def _elements(shape: tuple[int, ...], box: Box) -> list[int]:
    """Row-major indices of the box's elements, by definition."""
    found = [0]
    for whole, first, size in zip(shape, box.offsets, box.shape, strict=True):
        found = [index * whole + first + step for index in found for step in range(size)]
    return found


@unhurried
@given(shapes, st.sampled_from([1, 2, 4, 8]), st.integers(1, 8))
def test_pieces_in_order_are_the_bytes_of_the_tensor_in_order(shape: tuple[int, ...], item: int, items: int) -> None:
    boxes = list(cut(shape, item, most=item * items))
    assert [index for box in boxes for index in _elements(shape, box)] == list(range(math.prod(shape)))
    assert all(math.prod(box.shape) <= items for box in boxes)


@unhurried
@given(shapes, st.integers(1, 8))
def test_a_cut_tensor_is_made_up_by_its_pieces(shape: tuple[int, ...], items: int) -> None:
    assert tile(shape, cut(shape, 1, most=items))


boxes_in = st.integers(1, 4).flatmap(
    lambda whole: st.tuples(
        st.just(whole),
        st.lists(st.tuples(*[st.tuples(st.integers(0, whole), st.integers(0, whole))] * 2), max_size=5),
    )
)


@unhurried
@given(boxes_in)
def test_tile_agrees_with_counting_every_element(
    case: tuple[int, list[tuple[tuple[int, int], tuple[int, int]]]],
) -> None:
    whole, raw = case
    shape = (whole, whole)
    boxes = [Box((a, b), (m, n)) for (a, m), (b, n) in raw]
    inside = all(first + size <= whole for box in boxes for first, size in zip(*box, strict=True))
    counted = inside and sorted(i for box in boxes for i in _elements(shape, box)) == list(range(whole * whole))
    assert tile(shape, boxes) == counted


def test_a_scalar_has_one_piece() -> None:
    assert tile((), [Box((), ())])
    assert not tile((), [])
    assert not tile((), [Box((), ())] * 2)


def test_a_giant_tensor_is_checked_without_walking_it() -> None:
    assert tile((10**6, 10**6), [Box((0, 0), (10**6, 10**6))])
