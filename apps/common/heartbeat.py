"""Signs of life of an asynchronous stream: something comes at even intervals, if only None."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

T = TypeVar("T")


async def with_heartbeat(
    source: AsyncGenerator[T, None], patience: Callable[[], float]
) -> AsyncGenerator[T | None, None]:
    """The items of a stream as they come, and None where the next one is not there in time.

    The source runs on meanwhile, in one context, and is closed with this generator: whoever may
    leave before its end uses `contextlib.aclosing`.

    Args:
        source: the stream.
        patience: seconds to wait before None comes; asked before each wait.
    """
    context = contextvars.copy_context()
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.create_task(anext(source), context=context)
            await asyncio.wait({coming}, timeout=max(0.0, patience()))
            if not coming.done():
                yield None
                continue
            came, coming = coming, None
            try:
                item = came.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await asyncio.create_task(source.aclose(), context=context)
