"""When the operator asks to be restarted, and when that would help nobody."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.operator.parts.clients import configuration_of
from integration.operator.parts.place import Place
from testbed.child import free_port
from ultrathink_api.runtime import RuntimeSpec
from ultrathink_operator.observe import House, Trouble
from ultrathink_operator.operating import SILENT_S, STUCK_S, Operator
from ultrathink_operator.settings import Settings


async def operator_for(place: Place, kubeconfig: Path, server: str | None = None) -> Operator:
    house = House(place.namespace, RuntimeSpec(image="trainer:1"))
    settings = Settings(
        namespace=place.namespace,
        watched=(place.namespace,),
        identity="a",
        lease="operator",
        keys=(b"k" * 32,),
        house=house,
        level="info",
        api_rate=50,
        api_burst=100,
        metrics_port=free_port(),
        health_port=free_port(),
    )
    return Operator(await configuration_of(kubeconfig, server), settings)


@pytest.fixture
async def operator(lonely: Place) -> AsyncIterator[Operator]:
    made = await operator_for(lonely, lonely.plane.kubeconfig)
    yield made
    await made.stop()


async def test_a_fresh_one_is_alive(operator: Operator) -> None:
    await operator.check_alive()


async def test_a_watch_that_is_silent_while_the_api_server_answers_is_a_zombie(operator: Operator) -> None:
    operator.world.reflectors[0].heard_at -= SILENT_S + 1
    with pytest.raises(RuntimeError, match="silent"):
        await operator.check_alive()


async def test_a_kind_that_may_not_be_watched_restarts_nobody(operator: Operator) -> None:
    operator.world.reflectors[0].heard_at -= SILENT_S + 1
    operator.world.reflectors[0].store.trouble = Trouble("OperatorMisconfigured", "may not watch pods")
    await operator.check_alive()


async def test_an_api_server_that_is_away_restarts_nobody(lonely: Place) -> None:
    operator = await operator_for(lonely, lonely.plane.kubeconfig, f"https://127.0.0.1:{free_port()}")
    operator.world.reflectors[0].heard_at -= SILENT_S + 1
    await operator.check_alive()
    await operator.stop()


async def test_a_loop_that_hangs_is_dead(operator: Operator) -> None:
    operator.turned_at -= STUCK_S + 1
    with pytest.raises(RuntimeError, match="event loop"):
        await operator.check_alive()


async def test_an_operator_that_has_listed_nothing_is_not_ready_and_says_what_it_lacks(operator: Operator) -> None:
    assert "ultrathinkjobs/" in (operator.not_ready() or "")
