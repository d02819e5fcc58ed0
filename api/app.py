"""The app: routers, errors and the recorder put together. Made by a factory, never at import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from api import error_handlers, openapi
from api.background import DEFAULT_LIMIT
from api.hosts import NamedHosts, hosts_of
from api.metrics import Metrics
from api.middleware import EncodedRunPaths, LastResort
from api.proxy.app import Proxy, is_for_proxy
from api.proxy.client import CONNECTION, HeardConnection
from api.reading import Service
from api.routes import (
    analytics,
    comparing,
    definitions,
    diff,
    exports,
    health,
    ingest,
    latency,
    metrics,
    portable,
    runs,
    sql,
    streams,
    webhooks,
)
from api.slow_readers import SmallWrites
from api.webhooks.receiver import WebhookReceiver
from recorder.bootstrap import Recorder
from recorder.capture import Capture

GRACE_S: Final = 10.0
# Matched one after the other: what is asked most stands first, after those that name more below a run.
_ROUTERS: Final = (
    portable.router,
    streams.router,
    runs.router,
    health.router,
    metrics.router,
    ingest.router,
    latency.router,
    analytics.router,
    comparing.router,
    diff.router,
    definitions.router,
    webhooks.router,
    sql.router,
    exports.router,
)

_DESCRIPTION: Final = """The flight recorder of fal workflows: runs, their events and their timings.

Times are RFC 3339 in UTC, durations microseconds (`…_us`). Errors are `application/problem+json`.
"""


class _App(FastAPI):
    """Leads the proxy's requests past FastAPI: its layers take time of every stream.

    Its telemetry, where somebody has set that up, would tell whole addresses, and credentials in them.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and CONNECTION not in scope.setdefault("extensions", {}):
            scope["extensions"][CONNECTION] = HeardConnection(receive)  # not our server
        if scope["type"] == "http" and is_for_proxy(scope["path"]):
            await self.state.before(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    rec: Recorder,
    *,
    host: str | None = None,
    max_background_runs: int = DEFAULT_LIMIT,
    grace_s: float = GRACE_S,
) -> FastAPI:
    """Makes the app over a recorder, which stays the caller's to close, after the app has ended.

    `api.server` serves it best; under any other ASGI server only the time of a new stream differs, and readers that take nothing
    are not dropped.

    Args:
        rec: What to serve; its projection is kept up while the app runs.
        host: The name or address that is listened on, where it is known.
        max_background_runs: How many runs started here may be under way at the same time.
        grace_s: How long such runs may go on when the app ends, before they are broken off.
    """
    service = Service(rec, max_background_runs=max_background_runs)
    capture = Capture(rec.new_recording, "proxy", record=rec.settings.proxy.record)
    hosts = hosts_of(rec.settings, host)
    proxy = Proxy(rec, capture, service.stage, hosts)
    receiver = WebhookReceiver(rec, capture)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        rec.start_projecting()
        service.columns.start()
        await proxy.start()
        try:
            yield
        finally:
            await receiver.close()
            await proxy.close()
            capture.close()
            await run_in_threadpool(service.columns.stop)
            await run_in_threadpool(service.background.close, grace_s)
            service.archive.close()
            await run_in_threadpool(service.console.close)

    app = _App(
        title="fal flight recorder",
        version=version("fal-flight-recorder"),
        description=_DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # they load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(LastResort),
            Middleware(NamedHosts, hosts=hosts),
            Middleware(SmallWrites, below="/api/v1/"),
            Middleware(EncodedRunPaths),
        ],
        telemetry={"logs": False},  # they would quote exceptions, and those parameters
    )
    app.state.service = service
    app.state.metrics = Metrics(rec, service)
    app.state.hosts = hosts
    app.state.proxy = proxy
    app.state.before = LastResort(NamedHosts(proxy, hosts))
    app.state.webhooks = receiver
    app.state.routes = [route for router in _ROUTERS for route in router.routes]
    for router in _ROUTERS:
        app.include_router(router)
    error_handlers.install(app)
    openapi.install(app)
    return app
