"""Events are asked for rarely, whoever is unhappy."""

from typing import Any, cast

from ultrathink_operator.client import Api
from ultrathink_operator.explain import LISTS, Explainer


class Events:
    """An API server that knows of none, and counts who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, path: str, *, fieldSelector: str, limit: int) -> dict[str, Any]:
        self.asked.append(fieldSelector)
        return {"items": []}


async def test_one_object_is_not_asked_about_again_at_once() -> None:
    events = Events()
    explainer = Explainer(cast(Api, events), lambda job: None)
    for _ in range(3):
        await explainer.ask("team", "job", "pod")
    assert len(events.asked) == 1


async def test_a_thousand_unhappy_jobs_take_a_share_of_the_requests() -> None:
    events = Events()
    explainer = Explainer(cast(Api, events), lambda job: None)
    for number in range(1000):
        await explainer.ask("team", f"job-{number}", f"pod-{number}")
    assert LISTS <= len(events.asked) < 10 * LISTS
