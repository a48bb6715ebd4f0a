"""Answers a request that carries an `Idempotency-Key` once, however often it is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

from fastapi import Header
from fastapi.responses import JSONResponse, Response

from apps.api.services import Services
from apps.common.errors import QueueUnavailable
from apps.jobs.idempotency import Answer, IdempotencyKeys

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
    try:
        answer = await make()
    except Exception:
        with suppress(QueueUnavailable):
            await services.ask_redis(keys.give_back, key)
        raise
    await services.ask_redis(keys.keep, key, request, answer)
    return _response(answer)


def _response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(
        answer.body, answer.status, headers={"location": answer.location, **(headers or {})}
    )
