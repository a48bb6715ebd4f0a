"""Refuses to serve in several processes: claims, slots of local runs and previews live in one."""

from __future__ import annotations

import multiprocessing

import psutil
from starlette.types import ASGIApp, Receive, Scope, Send

REFUSED = (
    "The service runs in one process, and this is one of several: they would not know of each "
    "other's runs. Start it with --workers 1, or unset WEB_CONCURRENCY."
)


class OneProcess:
    """ASGI middleware. Where the server has siblings, the application does not start."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and _has_siblings():
            await receive()
            await send({"type": "lifespan.startup.failed", "message": REFUSED})
            return
        await self._app(scope, receive, send)


def _has_siblings() -> bool:
    """Whether the program that started this process as a server has started others beside it.

    Servers start theirs with `multiprocessing`, and so does a reloader, but one at a time.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return False
    try:
        children = psutil.Process(parent.pid).children()
    except psutil.NoSuchProcess:
        return False
    return sum(_is_spawned(child) for child in children) > 1


def _is_spawned(process: psutil.Process) -> bool:
    try:
        return "--multiprocessing-fork" in process.cmdline()
    except psutil.Error:
        return False
