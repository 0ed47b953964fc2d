"""Serves /metrics and /readyz."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4


async def serve(
    port: int, registry: CollectorRegistry, measure: Callable[[], None], ready: Callable[[], str | None]
) -> web.AppRunner:
    """`ready` answers why not, or None."""

    async def metrics(_: web.Request) -> web.Response:
        measure()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def readyz(_: web.Request) -> web.Response:
        why_not = ready()
        return web.Response(text=why_not or "ok", status=503 if why_not else 200)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
