"""What `utk status` says of a job."""

from utk.commands.status import _lines


def test_a_slow_rank_is_shown_while_it_is_slow() -> None:
    said = "rank 3 on w1 computes 1.8 times as long as its peers"
    assert ("Stragglers", said) in _lines({"progress": {"step": 1, "of": 2, "stragglers": [said]}})
    assert "Stragglers" not in dict(_lines({"progress": {"step": 1, "of": 2, "stragglers": []}}))
