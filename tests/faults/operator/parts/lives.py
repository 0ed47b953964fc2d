"""The golden lives: from the first write of a job to the last trace of it, with gates where the world is compared."""

from collections.abc import Awaitable, Callable
from typing import Any

from faults.operator.parts.stage import Stage, dumped
from ultrathink_api.causes import Cause

NAME = "life"
Snapshots = dict[str, Any]
Gate = Callable[[Stage, str], Awaitable[None]]


class Record:
    """Golden: keeps what the world looks like at each gate."""

    def __init__(self) -> None:
        self.snapshots: Snapshots = {}

    async def __call__(self, stage: Stage, gate: str) -> None:
        await stage.quiet(1.0)
        self.snapshots[gate] = stage.world.snapshot()


class Compare:
    """Disturbed: the world comes to look as it did."""

    def __init__(self, golden: Snapshots) -> None:
        self._golden = golden

    async def __call__(self, stage: Stage, gate: str) -> None:
        wanted = self._golden[gate]
        try:
            await stage.world.until(lambda: stage.world.snapshot() == wanted, f"the golden state at {gate}", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{difference(wanted, stage.world.snapshot())}") from error


async def success(stage: Stage, gate: Gate) -> None:
    """Created, trained, failed once, resumed, succeeded, deleted."""
    world = stage.world
    head = await stage.running(NAME)
    head.commit(10)
    await world.until(lambda: world.status(NAME).get("checkpoint"), "the checkpoint in the status")
    await gate(stage, "running")
    head.recover(2, Cause.RANK_LOST)
    await stage.phase(NAME, "Recovering")
    head.train(20, attempt=2)
    await stage.phase(NAME, "Running")
    await gate(stage, "running again")
    head.end(attempts=2)
    await stage.phase(NAME, "Succeeded")
    await world.until(lambda: len(world.left()) == 2, "the job and its Secret alone")
    await gate(stage, "succeeded")
    await stage.delete(NAME)
    await stage.gone(NAME)


async def deletion(stage: Stage, gate: Gate) -> None:
    """Created, trained, deleted in mid-run: asked to save, then let go."""
    head = await stage.running(NAME)
    head.commit(10)
    await gate(stage, "running")
    head.confirms = False
    await stage.delete(NAME)
    await stage.phase(NAME, "Suspending")
    await stage.world.until(lambda: head.stops, "the supervisor to be asked to stop")
    head.commit(12)
    head.say(stop=head.said.stop.model_copy(update={"confirmed": True, "step": 12}) if head.said.stop else None)
    await stage.gone(NAME)


async def wavering(stage: Stage, gate: Gate) -> None:
    """Suspended, resumed, changed, cancelled: three clusters, and a checkpoint each."""
    world = stage.world
    await stage.running(NAME)
    await gate(stage, "running")
    await stage.patch(NAME, {"spec": {"suspend": True}})
    await stage.phase(NAME, "Suspended")
    await gate(stage, "suspended")
    await stage.patch(NAME, {"spec": {"suspend": False}})
    second = await stage.supervisor(2)
    second.train(20, attempt=2)
    await stage.phase(NAME, "Running")
    await world.until(lambda: second.said.generation == 3, "the supervisor to be told of the resumption")
    await gate(stage, "resumed")
    second.effect = "newCluster"
    await stage.patch(NAME, {"spec": {"workers": {"count": 4}}})
    third = await stage.supervisor(3)
    third.train(30, attempt=3)
    await stage.phase(NAME, "Running")
    await gate(stage, "changed")
    await stage.patch(NAME, {"spec": {"cancel": True}})
    await stage.phase(NAME, "Failed")
    await world.until(lambda: not [one for one in world.left() if "sets/" in one or "pods/" in one], "no pod left")
    await gate(stage, "cancelled")
    await stage.delete(NAME)
    await stage.gone(NAME)


LIVES: dict[str, Callable[[Stage, Gate], Awaitable[None]]] = {
    "success": success,
    "deletion": deletion,
    "wavering": wavering,
}


def difference(wanted: Any, found: Any) -> str:
    """Line by line, short."""
    import difflib

    lines = difflib.unified_diff(dumped(wanted).splitlines(), dumped(found).splitlines(), "golden", "found", n=1)
    return "\n".join(list(lines)[:60])
