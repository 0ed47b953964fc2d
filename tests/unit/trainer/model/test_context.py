"""How a row is cut over context ranks, and that a piece looks back as if the row were whole."""

import pytest
import torch
import torch.nn.functional as F

from ultrathink_trainer.model.context import look_back, positions_of
from ultrathink_trainer.model.layers import window_mask

torch.set_num_threads(1)

LENGTH, HEADS, KV_HEADS, DIM = 24, 4, 2, 8


def test_each_rank_has_an_early_and_a_late_piece() -> None:
    assert positions_of(8, 0, 2).tolist() == [0, 1, 6, 7]
    assert positions_of(8, 1, 2).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6])
def test_every_position_is_on_one_rank_and_all_look_back_over_as_many(ranks: int) -> None:
    cut = [positions_of(LENGTH, rank, ranks) for rank in range(ranks)]
    assert sorted(torch.cat(cut).tolist()) == list(range(LENGTH))
    assert len({int(positions.sum()) for positions in cut}) == 1


@pytest.mark.parametrize("window", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("size", [1, 4, 12])
def test_a_piece_looks_back_as_in_the_whole_row(window: int | None, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, heads, LENGTH, DIM, generator=generator, dtype=torch.float64)
        for heads in (HEADS, KV_HEADS, KV_HEADS)
    )
    mask = window_mask(LENGTH, window or LENGTH, q.device)
    whole = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    for start in range(0, LENGTH, size):
        piece = slice(start, start + size)
        torch.testing.assert_close(look_back(q[:, :, piece], k, v, start, window), whole[:, :, piece])
