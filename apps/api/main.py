"""The web service: `uvicorn apps.api.main:app`, or rather `python -m apps.api`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from apps import __version__
from apps.api.head import Head
from apps.api.middleware import AccessMiddleware, RequestContextMiddleware
from apps.api.one_process import OneProcess
from apps.api.problems import DOCUMENTED_PROBLEMS, install_problem_handlers
from apps.api.retention import prune_forever
from apps.api.routes import (
    batches,
    cancel,
    celery_jobs,
    clips,
    comparisons,
    demo,
    differences,
    episodes,
    events,
    figures,
    health,
    jobs,
    library,
    options,
    people,
    pictures,
    playable,
    retention,
    review,
    runs,
    uploads,
)
from apps.api.services import Services
from apps.common.loading import end_loading
from apps.common.logs import configure_logging
from apps.common.settings import Settings
from apps.common.version import source_fingerprint
from apps.common.webhooks import WebhookSettings
from apps.objects.open import end_where_not_usable
from apps.runs.sweep import sweep_in_background
from apps.web.guard import Guard

_BOUND_SECONDS = 0.5


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Settings come from the environment unless they are given."""

    chosen = Settings.of_environment() if settings is None else settings
    hooks = WebhookSettings.of_environment()
    end_where_not_usable(chosen)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        end_loading()
        configure_logging()
        services = Services.create(chosen, hooks)
        app.state.services = services
        _stop_runs_on_signals(services)
        sweep_in_background(services.layout)
        services.webhooks.start()
        services.storage.start()
        beside = [
            asyncio.create_task(_look_at_host(services)),
            asyncio.create_task(services.reconcile_forever()),
            asyncio.create_task(services.uploads.look_after_forever()),
            asyncio.create_task(services.tidy_trash_forever()),
            asyncio.create_task(prune_forever(services)),
        ]
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await services.close()

    # Its documentation loads nothing from elsewhere.
    app = FastAPIOffline(
        redoc_url=None,
        title="Screenalytics Detect/Track",
        version=__version__,
        description="Finds and follows every face in television episodes.",
        lifespan=lifespan,
        responses=DOCUMENTED_PROBLEMS,
    )
    install_problem_handlers(app)
    key = None if chosen.api_key is None else chosen.api_key.get_secret_value()
    app.add_middleware(Head)
    app.add_middleware(AccessMiddleware, api_key=key)
    app.add_middleware(Guard, hosts=chosen.hosts, open_path=health.LIVE_PATH)
    app.add_middleware(uploads.TusVersion)
    app.add_middleware(RequestContextMiddleware, version=f"{__version__}+{source_fingerprint()}")
    app.add_middleware(OneProcess)
    for module in (
        batches,
        celery_jobs,
        jobs,
        options,
        episodes,
        events,
        uploads,
        runs,
        people,
        library,
        retention,
        demo,
        figures,
        pictures,
        playable,
        clips,
        review,
        differences,
        cancel,
        comparisons,
        health,
    ):
        app.include_router(module.router)
    return app


async def _look_at_host(services: Services) -> None:
    """Asks for the providers early, so that the first request need not wait for it."""
    # Not before the port is bound: where that fails, asyncio ends its tasks at once, and waits for
    # ever for one that is just starting a process.
    await asyncio.sleep(_BOUND_SECONDS)
    with contextlib.suppress(Exception):
        await services.host.facts()


def _stop_runs_on_signals(services: Services) -> None:
    """Kills local runs as soon as the server is told to stop.

    Uvicorn waits for open requests before it lets the application shut down, and a local run is
    an open request: without this it would wait for the whole run.
    """
    loop = asyncio.get_running_loop()

    def chain(number: signal.Signals) -> None:
        previous = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(services.begin_stop)
            if callable(previous):
                previous(received, frame)

        signal.signal(number, handle)

    with contextlib.suppress(ValueError):  # not in the main thread: a test's own server
        for number in (signal.SIGINT, signal.SIGTERM):
            chain(number)


app = create_app()
