"""Two operators, one leader: the other is ready and writes nothing; a leader that slept changes nothing."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from faults.operator.parts.proxy import Hold, Proxy, Rule
from faults.operator.parts.replica import Replica
from faults.operator.parts.stage import Stage, stage
from testbed import packages
from testbed.needs import require

PACE = {
    "ultrathink_operator.lease:DURATION_S": 6,
    "ultrathink_operator.lease:RENEW_S": 0.5,
    "ultrathink_operator.lease:REQUEST_S": 1.5,
}
"""A Lease that runs out sooner than in life."""


@asynccontextmanager
async def second(one: Stage) -> AsyncIterator[tuple[Replica, Proxy]]:
    """Another replica, with a proxy of its own, ready."""

    async def never() -> None:
        raise AssertionError("nobody was to be killed here")

    async with Proxy(one.api.server, one.api.trust, never) as proxy:
        replica = Replica(one.folder, one.namespace, proxy.url, one.account, identity="operator-1", pace=PACE)
        await replica.start()
        try:
            while (await replica.get(replica.metrics_port, "/readyz"))[0] != 200:
                await asyncio.sleep(0.1)
            yield replica, proxy
        finally:
            await replica.kill()


@pytest.mark.fault("F13")
async def test_of_two_operators_one_acts_and_the_other_is_ready_to(plane: Any) -> None:
    async with stage(plane, pace=PACE) as one:
        await one.world.until(lambda: one.writes("leases"), "a leader")
        async with second(one) as (standby, proxy):
            head = await one.running("led")
            assert [str(call) for call in proxy.mutations] == []
            await one.operator.kill()
            head.commit(10)
            told = lambda: one.world.status("led").get("checkpoint", {}).get("step") == 10  # noqa: E731
            await one.world.until(told, "the standby to take over")
            assert "ultrathink_operator_leader 1.0" in (await standby.get(standby.metrics_port, "/metrics"))[1]
            one.check()


@pytest.mark.fault("F14")
async def test_a_leader_that_slept_through_its_lease_changes_nothing(plane: Any) -> None:
    async with stage(plane, pace=PACE) as one:
        await one.world.until(lambda: one.writes("leases"), "a leader")
        async with second(one):
            late = Hold(asyncio.Event())
            held = Rule(lambda c: c.method == "POST" and c.plural == "statefulsets", late)
            one.proxy.rules.append(held)
            await one.submit("woken")
            await one.world.until(lambda: held.hits, "the leader's call to be held")
            one.operator.signal(signal.SIGSTOP)
            head = await one.supervisor()
            head.train(10)
            await one.phase("woken", "Running")
            await one.quiet(0.5)
            before = (one.world.snapshot(), len(one.proxy.mutations))
            late.released.set()
            one.operator.signal(signal.SIGCONT)
            log = one.operator.log
            await one.world.until(lambda: "standing by" in log.read_text(), "the sleeper to find itself deposed")
            await one.world.until(lambda: one.proxy.mutations[-1].status or before[1], "the late call to be answered")
            assert one.world.snapshot() == before[0]
            assert len(one.world.all("statefulsets")) == 2
            assert len(one.proxy.mutations) == before[1]
            one.check()


@pytest.mark.fault("F15")
@pytest.mark.parametrize("skew", ["+1h", "-1h"])
async def test_an_operator_whose_clock_is_an_hour_off_ends_a_life_as_ever(plane: Any, skew: str) -> None:
    faketime = require(lambda: packages.command("faketime"))
    async with stage(plane, start=False) as one:
        wrong = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", str(faketime), "-f", skew)
        one.operator = Replica(one.folder, one.namespace, one.proxy.url, one.account, "skewed", before=wrong)
        await one.begin()
        try:
            head = await one.running("skewed")
            started = one.world.status("skewed")["startedAt"]
            created = (one.world.get("ultrathinkjobs", "skewed") or {})["metadata"]["creationTimestamp"]
            assert started[:13] == created[:13] or started[14:16] in ("00", "59")
            head.confirms = False
            await one.delete("skewed")
            await one.world.until(lambda: head.stops, "the supervisor to be asked to stop")
            await one.quiet(2.5)
            assert one.world.get("ultrathinkjobs", "skewed"), "its grace was cut short"
            assert head.said.stop
            head.say(stop=head.said.stop.model_copy(update={"confirmed": True, "step": 10}))
            await one.gone("skewed")
            one.check()
        finally:
            await one.operator.kill()
