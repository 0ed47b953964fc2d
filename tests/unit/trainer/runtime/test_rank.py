"""How a rank says why it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultrathink_api.errors import Problem
from ultrathink_trainer.rank import HEADER_BYTES, is_peers_fault, last_words
from ultrathink_trainer.runtime.wire import ATOMIC, encode


@pytest.mark.parametrize(
    "words",
    [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:36637",
        "Connection reset by peer",
        "writev [127.0.0.1]:58022: Broken pipe",
        "Socket Timeout",
    ],
)
def test_a_rank_that_lost_a_peer_is_not_to_blame(words: str) -> None:
    assert is_peers_fault(RuntimeError(words))


def test_neither_is_one_whose_error_was_caused_by_that() -> None:
    try:
        try:
            raise RuntimeError("Connection closed by peer")
        except RuntimeError as cause:
            raise ValueError("save failed") from cause
    except ValueError as error:
        assert is_peers_fault(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("connection closed"), KeyError("x")])
def test_a_rank_that_failed_by_itself_is(error: Exception) -> None:
    assert not is_peers_fault(error)


@given(st.text(max_size=5000), st.text(max_size=5000), st.text(max_size=5000))
def test_last_words_can_always_be_written_at_once(message: str, fix: str, why: str) -> None:
    problem = Problem("UTK0201", "spec.data.uri", message, fix, why)
    record = last_words("refused", message, problem)
    assert len(encode(record)) <= ATOMIC - HEADER_BYTES
    assert record["problem"]["code"] == "UTK0201"
