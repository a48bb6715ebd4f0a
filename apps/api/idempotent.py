"""Answers a request that carries an `Idempotency-Key` once, however often it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

from fastapi import Header
from fastapi.responses import JSONResponse, Response

from apps.api.services import Services
from apps.common.errors import QueueUnavailable
from apps.jobs.idempotency import HOLD_SECONDS, Answer, IdempotencyKeys

REPLAYED = "Idempotent-Replayed"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of the client's, a new one for each thing that it wants: a request "
        "that is sent again with it, within a day, gets the first answer and changes nothing.",
    ),
]


async def answered_once(
    services: Services, key: str | None, request: str, make: Callable[[], Awaitable[Answer]]
) -> Response:
    """What `make` answers, or what it answered when the key came first.

    Args:
        key: as the client sent it; without one each request is a new one.
        request: what is asked for, as text: a key is for one request.

    Raises:
        IdempotencyKeyReused, StillAnswering: as `IdempotencyKeys.take`.
        QueueUnavailable: Redis does not answer.
    """
    if key is None:
        return _response(await make())
    keys = IdempotencyKeys(services.jobs)
    before = await services.ask_redis(keys.take, key, request)
    if before is not None:
        return _response(before, {REPLAYED: "true"})
    holding = asyncio.create_task(_hold(services, keys, key))
    try:
        answer = await make()
    except Exception:
        with suppress(QueueUnavailable):
            await services.ask_redis(keys.give_back, key)
        raise
    finally:
        holding.cancel()
    await services.ask_redis(keys.keep, key, request, answer)
    return _response(answer)


async def _hold(services: Services, keys: IdempotencyKeys, key: str) -> None:
    """Nobody else begins it, however long it takes: a folder of videos may take hours."""
    while True:
        await asyncio.sleep(HOLD_SECONDS)
        with suppress(QueueUnavailable):
            await services.ask_redis(keys.hold, key)


def _response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(
        answer.body, answer.status, headers={"location": answer.location, **(headers or {})}
    )
