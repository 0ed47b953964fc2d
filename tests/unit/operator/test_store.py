"""A store never goes back in time."""

from typing import Any

import pytest

from ultrathink_operator import kinds
from ultrathink_operator.kinds import View
from ultrathink_operator.observe import ServiceView, service_view
from ultrathink_operator.reflect import Store

KEY = ("team", "q-1")


@pytest.fixture
def changed() -> list[View]:
    return []


@pytest.fixture
def store(changed: list[View]) -> Store:
    return Store(kinds.WATCHED[kinds.SERVICE], "team", changed.append)


def service(version: int, name: str = "q-1", job: str = "job-uid") -> dict[str, Any]:
    labels = {"ultrathink.io/job-uid": job, "ultrathink.io/cluster": "1"}
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": labels,
        }
    }


def versions(store: Store) -> list[int]:
    return [int(v.meta.version) for v in store.of_job("job-uid")]


def test_an_older_version_never_replaces_a_newer(store: Store, changed: list[View]) -> None:
    store.take(service(7))
    store.take(service(5))
    assert versions(store) == [7]
    assert len(changed) == 1


def test_the_answer_to_our_own_write_counts_at_once_and_its_event_later_is_no_news(
    store: Store, changed: list[View]
) -> None:
    store.take(service(7))
    store.take(service(7))
    assert len(changed) == 1


def test_what_a_list_does_not_show_is_gone(store: Store, changed: list[View]) -> None:
    store.take(service(3))
    store.replace([service_view(service(4, "q-2"))], version=9)
    assert [v.meta.name for v in store.of_job("job-uid")] == ["q-2"]
    assert [v.meta.name for v in changed] == ["q-1", "q-2", "q-1"]


def test_what_we_wrote_after_a_list_was_made_stays(store: Store) -> None:
    store.take(service(12))
    store.replace([], version=9)
    assert versions(store) == [12]


def test_an_answer_that_comes_after_the_deletion_does_not_bring_the_object_back(store: Store) -> None:
    store.take(service(3))
    store.drop(KEY, 8)
    store.take(service(7))
    assert versions(store) == []
    store.take(service(9))
    assert versions(store) == [9]


def test_a_deletion_that_comes_late_does_not_take_the_successor(store: Store) -> None:
    store.take(service(9))
    store.drop(KEY, 8)
    assert versions(store) == [9]


def test_an_object_that_changes_its_job_is_no_longer_the_first_ones(store: Store) -> None:
    store.take(service(1))
    store.take(service(2, job="another"))
    assert versions(store) == []


def test_the_store_differs_from_a_list_that_shows_more(store: Store) -> None:
    store.replace([service_view(service(3))], version=5)
    assert not store.differs({KEY: 3}, 6)
    assert store.differs({KEY: 4}, 6)
    assert store.differs({KEY: 3, ("team", "q-2"): 6}, 6)
    assert store.differs({}, 6)


def test_the_store_does_not_differ_for_what_is_newer_than_the_list(store: Store) -> None:
    store.replace([], version=5)
    store.take(service(8))
    assert not store.differs({}, 6)
    store.drop(KEY, 9)
    assert not store.differs({KEY: 8}, 8)


def test_a_projection_keeps_whose_an_object_is(store: Store) -> None:
    store.take(service(1))
    (view,) = store.of_job("job-uid")
    assert isinstance(view, ServiceView)
    assert (view.meta.number, view.meta.owner) == (1, "")
