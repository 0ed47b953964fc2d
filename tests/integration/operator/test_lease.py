"""One leader at a time, on a real API server and a clock that the test turns."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from integration.operator.parts.clients import api_for
from integration.operator.parts.place import Place
from ultrathink_operator.client import Api, ApiError
from ultrathink_operator.lease import DURATION_S, RENEWALS, SAFE_SHARE, Lease, NotLeader


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def api(lonely: Place) -> AsyncIterator[Api]:
    made = await api_for(lonely.plane.kubeconfig)
    yield made
    await made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(api: Api, place: Place, identity: str, clock: Clock) -> Lease:
    return Lease(api, place.namespace, "operator", identity, lambda leading: None, clock)


async def test_the_first_leads_and_the_second_stands_by(api: Api, lonely: Place, clock: Clock) -> None:
    first, second = lease(api, lonely, "a", clock), lease(api, lonely, "b", clock)
    await first.round()
    await second.round()
    assert first.leading and not second.leading
    with pytest.raises(NotLeader):
        second.check()


async def test_a_leader_that_cannot_renew_stops_writing_before_another_may_start(
    api: Api, lonely: Place, clock: Clock
) -> None:
    first, second = lease(api, lonely, "a", clock), lease(api, lonely, "b", clock)
    await first.round()
    await second.round()
    clock.now += DURATION_S * SAFE_SHARE
    assert not first.leading
    await second.round()
    assert not second.leading
    clock.now += DURATION_S * (1 - SAFE_SHARE) + 1
    await second.round()
    assert second.leading


async def test_a_holder_that_was_paused_learns_that_it_leads_no_longer(api: Api, lonely: Place, clock: Clock) -> None:
    first, second = lease(api, lonely, "a", clock), lease(api, lonely, "b", clock)
    await first.round()
    await second.round()
    clock.now += DURATION_S + 1
    await second.round()
    await first.round()
    assert second.leading and not first.leading


async def test_renewing_keeps_it(api: Api, lonely: Place, clock: Clock) -> None:
    first, second = lease(api, lonely, "a", clock), lease(api, lonely, "b", clock)
    for _ in range(10):
        await first.round()
        await second.round()
        clock.now += 5
    assert first.leading and not second.leading


async def test_given_back_it_is_free_at_once(api: Api, lonely: Place, clock: Clock) -> None:
    first, second = lease(api, lonely, "a", clock), lease(api, lonely, "b", clock)
    await first.round()
    await first.release()
    assert not first.leading
    await second.round()
    assert second.leading


async def test_a_container_that_starts_again_in_its_pod_need_not_wait_for_itself(
    api: Api, lonely: Place, clock: Clock
) -> None:
    await lease(api, lonely, "a", clock).round()
    again = lease(api, lonely, "a", clock)
    await again.round()
    assert again.leading


async def test_of_two_that_take_it_at_once_one_is_refused(api: Api, lonely: Place, clock: Clock) -> None:
    first, second = lease(api, lonely, "a", clock), lease(api, lonely, "b", clock)
    await first.round()
    stale = await api.get(f"/apis/coordination.k8s.io/v1/namespaces/{lonely.namespace}/leases/operator")
    await first.round()
    with pytest.raises(ApiError) as refused:
        await api.replace(f"/apis/coordination.k8s.io/v1/namespaces/{lonely.namespace}/leases/operator", stale)
    assert refused.value.status == 409
    assert not second.leading


async def test_a_lease_is_renewed_before_all_that_waits_in_line(api: Api, lonely: Place, clock: Clock) -> None:
    """A thousand jobs that come together are minutes of requests: longer than a lease lasts."""
    crowded = api.beside(rate=0.001)
    behind = asyncio.create_task(crowded.get("/version"))
    ahead = lease(crowded.beside(RENEWALS), lonely, "a", clock)
    await ahead.round()
    assert ahead.leading and not behind.done()
    behind.cancel()
