"""Supervisors are asked over HTTP, with tokens that outlive a rotation of the key."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from integration.operator.parts.head import Head
from ultrathink_operator.clock import ServerClock
from ultrathink_operator.observe import PodView, pod_view
from ultrathink_operator.progress import Supervisors

OLD, NEW = b"o" * 32, b"n" * 32
WAIT_S = 20.0


def pod(head: Head, uid: str = "pod-1") -> PodView:
    metadata = {"name": "q-1-head-0", "namespace": "team", "uid": uid, "resourceVersion": "1"}
    return pod_view({"metadata": metadata, "spec": {"containers": [{}]}, "status": {"podIP": head.ip}})


@pytest.fixture
async def supervisors() -> AsyncIterator[Supervisors]:
    made = Supervisors([NEW, OLD], ServerClock(), lambda uid: None)
    yield made
    await made.close()


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not what():
            await asyncio.sleep(0.02)


def step(supervisors: Supervisors) -> int:
    view = supervisors.view("u")
    return view.progress.progress.step if view and view.progress and view.progress.progress else 0


@pytest.mark.parametrize("key", [NEW, OLD], ids=["new", "old"])
async def test_a_supervisor_is_understood_with_the_key_of_its_time(supervisors: Supervisors, key: bytes) -> None:
    with Head("u", key) as head:
        head.train(7)
        supervisors.follow("u", pod(head))
        await until(lambda: step(supervisors) == 7)


async def test_a_stranger_is_not_believed(supervisors: Supervisors) -> None:
    with Head("u", b"x" * 32) as head:
        supervisors.follow("u", pod(head))
        await until(lambda: (view := supervisors.view("u")) and view.error)
        view = supervisors.view("u")
        assert view is not None and view.progress is None and "401" in view.error


async def test_a_new_head_is_another_supervisor(supervisors: Supervisors) -> None:
    with Head("u", NEW) as first, Head("u", NEW) as second:
        first.train(7)
        supervisors.follow("u", pod(first))
        await until(lambda: step(supervisors) == 7)
        supervisors.follow("u", pod(second, "pod-2"))
        view = supervisors.view("u")
        assert view is not None and view.progress is None
        second.train(9)
        await until(lambda: step(supervisors) == 9)


async def test_silence_keeps_what_was_said_last(supervisors: Supervisors) -> None:
    with Head("u", NEW) as head:
        supervisors.follow("u", pod(head))
        await until(lambda: (view := supervisors.view("u")) and view.progress)
    await until(lambda: (view := supervisors.view("u")) and view.error)
    view = supervisors.view("u")
    assert view is not None and view.progress is not None


async def test_a_stop_is_passed_on_and_its_effect_heard_soon(supervisors: Supervisors) -> None:
    with Head("u", NEW) as head:
        supervisors.follow("u", pod(head))
        await until(lambda: supervisors.view("u"))
        await supervisors.stop("u", 60)
        await until(
            lambda: (v := supervisors.view("u")) and v.progress and v.progress.stop and v.progress.stop.confirmed
        )
        assert head.stops == 1


async def test_a_stop_that_nobody_hears_is_no_error(supervisors: Supervisors) -> None:
    await supervisors.stop("nobody", 60)
