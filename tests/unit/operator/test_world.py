"""What one job sees of the others, and that it hears of all that concerns it."""

import copy
from typing import Any, cast

import pytest

from ultrathink_operator import kinds
from ultrathink_operator.client import Api
from ultrathink_operator.explain import Explainer
from ultrathink_operator.observe import Observed, Trouble, job_view
from ultrathink_operator.progress import Supervisors
from ultrathink_operator.world import World
from unit.operator.parts.cluster import HOUSE, START, Cluster

AGES = {"elder": 300.0, "middle": 200.0, "young": 100.0}


class Nobody:
    """No supervisor answers, and nothing is explained."""

    def view(self, uid: str) -> None:
        return None

    def of_job(self, uid: str) -> tuple[()]:
        return ()


def raw(name: str, **cluster: Any) -> dict[str, Any]:
    made = Cluster(now=START - AGES[name])
    made.settle()
    assert made.job is not None
    job = copy.deepcopy(made.job)
    job["metadata"] |= {"name": name, "uid": name}
    job["status"]["cluster"] |= cluster
    return job


def seen_by(name: str, *jobs: dict[str, Any]) -> Observed:
    world = World(cast(Api, None), ["team"], HOUSE, lambda uid: None, lambda job: None)
    for job in jobs:
        world.store(kinds.JOB, "team").take(job)
    job = world.job("team", name)
    assert job is not None
    nobody = Nobody()
    return world.observe(job, cast(Supervisors, nobody), cast(Explainer, nobody), now=START)


def test_an_older_job_that_is_tried_again_goes_first() -> None:
    young = raw("young", releases=1, retryAt="2027-01-15T08:00:00Z")
    assert seen_by("young", raw("elder", releases=2), raw("middle", releases=1), young).elder == "elder"
    assert seen_by("elder", raw("elder", releases=2), young).elder == "", "nobody is older"


def test_an_older_job_that_waits_or_was_never_given_back_holds_nobody_up() -> None:
    waiting = raw("elder", releases=2, retryAt="2099-01-01T00:00:00Z")
    young = raw("young", releases=1)
    assert seen_by("young", waiting, raw("middle"), young).elder == ""


def test_a_job_that_was_never_given_back_looks_at_nobody() -> None:
    assert seen_by("young", raw("elder", releases=2), raw("young")).elder == ""


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def world(woken: list[str]) -> World:
    """Of two namespaces, a job in one of them, and its kind listed."""
    made = World(cast(Api, None), ["team", "other"], HOUSE, woken.append, lambda job: None)
    made.store(kinds.JOB, "team").replace([job_view(raw("elder"))], 1)
    woken.clear()
    return made


def test_a_job_that_came_first_is_woken_by_each_list_even_an_empty_one(world: World, woken: list[str]) -> None:
    others = [resource for resource in kinds.WATCHED if resource is not kinds.JOB]
    for number, resource in enumerate(others, 1):
        world.store(resource, "team").replace([], 1)
        assert woken == ["elder"] * number, resource
    world.store(others[0], "team").replace([], 2)
    assert len(woken) == len(others), "what was known before is no news"


def test_lists_of_another_namespace_wake_nobody_here(world: World, woken: list[str]) -> None:
    for resource in kinds.WATCHED:
        world.store(resource, "other").replace([], 1)
    assert woken == []


def test_a_job_is_woken_when_a_kind_is_refused_and_when_it_is_given_back(world: World, woken: list[str]) -> None:
    pods = world.store(kinds.POD, "team")
    pods.replace([], 1)
    woken.clear()
    for _ in range(2):
        pods.refuse(Trouble("OperatorMisconfigured", "may not list pods"))
    assert woken == ["elder"]
    pods.replace([], 2)
    assert woken == ["elder", "elder"]
