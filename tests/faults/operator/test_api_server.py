"""The API server is away, slow, overloaded, or without its store; the operator waits, and harms nobody."""

import asyncio
import os
import signal
from typing import Any

import pytest

from faults.operator.parts.proxy import Answer, Delay, Hold, Rule
from faults.operator.parts.stage import stage

AWAY_S = 6.0
STORM_S = 6.0
MOST_A_SECOND = 10
LATE_S = 1.5
RIGHT_AGAIN_S = 30.0


@pytest.mark.fault("F03")
async def test_told_to_stop_in_the_middle_of_a_pass_it_ends_and_gives_the_lease_back(plane: Any) -> None:
    async with stage(plane) as one:
        held = Rule(lambda c: c.method == "POST" and c.plural == "statefulsets", Hold(asyncio.Event()))
        one.proxy.rules.append(held)
        await one.submit("torn")
        await one.world.until(lambda: held.hits, "a call to be held")
        assert await one.operator.terminate() == 0
        lease = await one.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{one.namespace}/leases/ultrathink-operator")
        assert lease["spec"]["holderIdentity"] == ""
        await one.operator.start()
        (await one.supervisor()).train(10)
        await one.phase("torn", "Running")
        one.check()


@pytest.mark.fault("F04")
async def test_while_the_api_server_is_away_training_goes_on_and_the_status_is_right_soon_after(plane: Any) -> None:
    async with stage(plane) as one:
        head = await one.running("calm")
        pods = {pod["metadata"]["uid"] for pod in one.world.all("pods")}
        before = len(one.proxy.calls)
        one.proxy.go_down()
        head.train(60)
        head.commit(50)
        await asyncio.sleep(AWAY_S)
        assert len(one.proxy.calls) - before <= MOST_A_SECOND * AWAY_S
        assert (await one.operator.get(one.operator.health_port, "/healthz"))[0] == 200
        one.proxy.come_back()
        told = lambda: one.world.status("calm").get("checkpoint", {}).get("step") == 50  # noqa: E731
        await one.world.until(told, "the checkpoint made meanwhile", RIGHT_AGAIN_S)
        assert (one.world.status("calm")["phase"], one.world.status("calm")["progress"]["step"]) == ("Running", 60)
        assert {pod["metadata"]["uid"] for pod in one.world.all("pods")} == pods
        assert (one.operator.starts, head.stops) == (1, 0)
        one.check()


@pytest.mark.fault("F05")
async def test_a_slow_api_server_is_asked_for_nothing_twice(plane: Any) -> None:
    async with stage(plane) as one:
        one.proxy.rules.append(Rule(lambda c: not c.watches, Delay(LATE_S), times=0))
        await one.running("slow")
        made = [(call.plural, (call.body or {})["metadata"]["name"]) for call in one.writes(method="POST")]
        assert len(made) == len(set(made))
        assert (await one.operator.get(one.operator.health_port, "/healthz"))[0] == 200
        one.check()


@pytest.mark.fault("F06")
@pytest.mark.parametrize("storm", [Answer(429, "TooManyRequests", {"Retry-After": "2"}), Answer(500, "InternalError")])
async def test_a_storm_of_refusals_is_waited_out(plane: Any, storm: Answer) -> None:
    async with stage(plane) as one:
        await one.world.until(lambda: one.writes("leases"), "a leader")
        before, rule = len(one.proxy.calls), Rule(lambda c: c.plural != "leases", storm, times=0)
        one.proxy.rules.append(rule)
        await one.submit("patient")
        await asyncio.sleep(STORM_S)
        one.proxy.rules.remove(rule)
        assert rule.hits
        assert len(one.proxy.calls) - before <= MOST_A_SECOND * STORM_S
        if "Retry-After" in storm.headers:
            hit = [call.at for call in one.proxy.calls[before:] if call.status == 429]
            later = [call.at for call in one.proxy.calls if call.at > hit[0] + 0.5]
            assert later[0] - hit[0] >= 1.9
        (await one.supervisor()).train(10)
        await one.phase("patient", "Running")
        one.check()


@pytest.mark.fault("F11")
async def test_while_etcd_stands_still_nothing_fails(plane: Any, everything: bool) -> None:
    async with stage(plane) as one:
        head = await one.running("still")
        os.kill(plane.etcd.pid, signal.SIGSTOP)
        try:
            head.train(60)
            head.commit(50)
            await asyncio.sleep(30 if everything else AWAY_S)
        finally:
            os.kill(plane.etcd.pid, signal.SIGCONT)
        told = lambda: one.world.status("still").get("checkpoint", {}).get("step") == 50  # noqa: E731
        await one.world.until(told, "the checkpoint made meanwhile", RIGHT_AGAIN_S)
        assert one.world.status("still")["phase"] == "Running"
        assert one.world.status("still")["cluster"]["number"] == 1
        assert (one.operator.starts, head.stops) == (1, 0)
        one.check()


@pytest.mark.fault("F12")
async def test_another_writer_is_neither_lost_nor_in_the_way(plane: Any) -> None:
    async with stage(plane) as one:
        await one.submit("busy")
        told = 0

        async def scribble() -> None:
            nonlocal told
            while True:
                told += 1
                await one.patch("busy", {"metadata": {"annotations": {"example.com/count": str(told)}}})
                await asyncio.sleep(0.05)

        writer = asyncio.create_task(scribble())
        (await one.supervisor()).train(10)
        await one.phase("busy", "Running")
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        job = await one.api.get(f"/apis/ultrathink.io/v1alpha1/namespaces/{one.namespace}/ultrathinkjobs/busy")
        assert int(job["metadata"]["annotations"]["example.com/count"]) >= told - 1
        one.check()
