"""Waiting for a job: what is said of an operator that does not answer."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from ultrathink.cluster import jobs
from ultrathink.cluster.connect import Cluster
from ultrathink_api.errors import Problem, Refused

Told = list[tuple[float, str]]
Wait = Callable[[Callable[[float], dict[str, Any] | Refused], float], Told]


def job(generation: int, observed: int | None) -> dict[str, Any]:
    metadata = {"name": "tiny", "namespace": "team", "generation": generation, "resourceVersion": str(observed)}
    return {"metadata": metadata, "status": {} if observed is None else {"observedGeneration": observed}}


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Watches for some seconds what the job is at each moment: when was told what."""

    def call(at: Callable[[float], dict[str, Any] | Refused], seconds: float) -> Told:
        now, told = 0.0, []

        def sleep(length: float) -> None:
            nonlocal now
            now += length

        def find() -> dict[str, Any]:
            found = at(now)
            if isinstance(found, Refused):
                raise found
            return found

        def tell(problem: Problem) -> None:
            told.append((now, problem.message))

        monkeypatch.setattr(jobs.time, "sleep", sleep)
        monkeypatch.setattr(jobs, "find", lambda *_: find())
        cluster = cast("Cluster", type("Team", (), {"namespace": "team"}))
        with pytest.raises(Refused, match="UTK0609"):
            list(jobs.watch(cluster, "tiny", seconds, lambda: now, tell))
        return told

    return call


def test_an_operator_that_does_not_see_a_change_is_told_of_once_after_ten_seconds(wait: Wait) -> None:
    [(when, what)] = wait(lambda _: job(2, 1), 60)
    assert when == jobs.NOTICE_SECONDS and "does not answer" in what


def test_of_a_job_that_none_ever_saw_it_says_what_submit_says(wait: Wait) -> None:
    [(_, what)] = wait(lambda _: job(1, None), 60)
    assert what == jobs.unwatched("team").message


def test_an_operator_that_sees_it_may_take_its_time(wait: Wait) -> None:
    assert wait(lambda now: job(2, 2 if now >= 9 else 1), 60) == []


def test_an_api_server_that_is_away_is_not_the_operators_silence(wait: Wait) -> None:
    away = Refused.of("UTK0503", field="", message="", fix="")
    [(when, _)] = wait(lambda now: away if 5 <= now < 30 else job(2, 1), 60)
    assert when == 29 + jobs.NOTICE_SECONDS
