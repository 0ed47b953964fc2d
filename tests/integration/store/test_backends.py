"""What every backend promises, on a folder and on a real S3 server."""

from datetime import UTC, datetime, timedelta

import pytest

from ultrathink_store import Store, probe
from ultrathink_store.backend import Changed, Exists, Missing

BIG = (16 << 20) + 5
"""More than one part of a multipart upload."""


def test_a_create_is_refused_where_something_is(store: Store) -> None:
    store.create("a/b", b"first")
    with pytest.raises(Exists):
        store.create("a/b", b"second")
    assert store.read("a/b") == b"first"


def test_a_replace_needs_the_tag_of_what_is_there(store: Store) -> None:
    store.create("OWNER", b"one")
    tag = store.fetch("OWNER").etag
    store.replace("OWNER", b"two", tag)
    with pytest.raises(Changed):
        store.replace("OWNER", b"three", tag)
    assert store.read("OWNER") == b"two"


def test_a_replace_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(Changed):
        store.replace("OWNER", b"one", '"d41d8cd98f00b204e9800998ecf8427e"')


def test_a_write_goes_over_what_is_there(store: Store) -> None:
    store.write("LATEST", b"one")
    store.write("LATEST", b"two")
    assert store.read("LATEST") == b"two"


def test_ranges_are_read_and_end_with_the_object(store: Store) -> None:
    store.create("x", b"0123456789")
    assert store.read("x", 2, 3) == b"234"
    assert store.read("x", 7) == b"789"
    assert store.read("x", 8, 10) == b"89"
    assert store.read("x", 20, 5) == b""
    assert store.read("x", 3, 0) == b""


def test_what_is_not_there_is_missing(store: Store) -> None:
    assert store.head("a/b") is None
    assert list(store.list("a")) == []
    assert tuple(store.folders("a")) == ()
    store.delete("a/b")
    for read in (lambda: store.read("a/b"), lambda: store.fetch("a/b"), lambda: store.read("a/b", 0, 4)):
        with pytest.raises(Missing):
            read()


def test_listing_goes_deep_and_folders_one_down(store: Store) -> None:
    for key in ("a/b/c", "a/b2/d", "a/e", "ab/f", "g"):
        store.create(key, key.encode())
    assert [entry.key for entry in store.list("a")] == ["a/b/c", "a/b2/d", "a/e"]
    assert [entry.key for entry in store.list()] == ["a/b/c", "a/b2/d", "a/e", "ab/f", "g"]
    assert store.folders("a") == ("b", "b2")
    assert store.folders() == ("a", "ab")
    entry = next(iter(store.list("a")))
    assert entry.size == 5
    assert abs(entry.modified - datetime.now(UTC)) < timedelta(hours=1)


@pytest.mark.parametrize("size", [0, 10, BIG])
def test_a_streamed_object_comes_back_whole(store: Store, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    with store.writer("x/stream", size) as writer:
        writer.write(memoryview(data)[: size // 3])
        writer.write(bytearray(data[size // 3 : size]))
    assert store.read("x/stream") == data[:size]


@pytest.mark.parametrize("size", [10, BIG])
def test_a_stream_that_fails_leaves_nothing(store: Store, size: int) -> None:
    with pytest.raises(OSError, match="of the caller's own"):
        with store.writer("x/stream", size) as writer:
            writer.write(bytes(size))
            raise OSError("of the caller's own")
    assert store.head("x/stream") is None
    assert list(store.list()) == []


@pytest.mark.parametrize("size", [10, BIG])
def test_of_two_streams_to_one_key_the_first_to_end_stays(store: Store, size: int) -> None:
    with pytest.raises(Exists):
        with store.writer("x", size) as slow:
            slow.write(b"s" * size)
            with store.writer("x", size) as fast:
                fast.write(b"f" * size)
    assert store.read("x") == b"f" * size


def test_a_stream_over_an_object_is_refused_before_a_byte_is_sent(store: Store) -> None:
    store.create("x", b"here")
    with pytest.raises(Exists):
        with store.writer("x", 1):
            pytest.fail("the writer was opened")


@pytest.mark.fault("N34")
@pytest.mark.parametrize("key", ["../x", "a/../../x", "/x", "a//x", ".hidden", "a/./b", "", "a\0", "%2e%2e/x", "a\nb"])
def test_a_key_that_could_climb_is_a_bug_and_never_a_path(store: Store, key: str) -> None:
    with pytest.raises(AssertionError):
        store.create(key, b"")


def test_a_probe_passes_and_leaves_nothing(store: Store) -> None:
    probe(store)
    assert list(store.list()) == []
