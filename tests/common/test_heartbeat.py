"""A stream with signs of life: nothing is lost, nothing comes late, and it ends with its reader."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from apps.common.heartbeat import with_heartbeat

WHO = contextvars.ContextVar("WHO", default="")
FOR_EVER, AT_ONCE = 3600.0, 0.0


class Source:
    """A stream of numbers, each of which comes when it is let."""

    def __init__(self, count: int) -> None:
        self.let = asyncio.Semaphore(0)
        self.closed = asyncio.Event()
        self.closed_by = ""
        self._count = count

    async def numbers(self) -> AsyncGenerator[int, None]:
        WHO.set("source")
        try:
            for number in range(self._count):
                await self.let.acquire()
                yield number
        finally:
            await asyncio.sleep(0)  # as where a process has to be ended
            self.closed_by = WHO.get()
            self.closed.set()


def test_every_item_comes_once_whatever_comes_between() -> None:
    async def read() -> None:
        source = Source(3)
        heard = []
        async for item in with_heartbeat(source.numbers(), lambda: AT_ONCE):
            heard.append(item)
            if heard.count(None) % 3 == 2:
                source.let.release()
        assert [item for item in heard if item is not None] == [0, 1, 2]
        assert None in heard
        assert source.closed.is_set()

    asyncio.run(read())


def test_nothing_comes_between_where_there_is_time() -> None:
    async def read() -> None:
        source = Source(3)
        for _ in range(3):
            source.let.release()
        assert [item async for item in with_heartbeat(source.numbers(), lambda: FOR_EVER)] == [
            0,
            1,
            2,
        ]

    asyncio.run(read())


def test_patience_is_asked_before_each_wait() -> None:
    async def read() -> None:
        source = Source(1)
        left = [AT_ONCE, AT_ONCE, FOR_EVER]
        heard = []
        async for item in with_heartbeat(source.numbers(), lambda: left.pop(0)):
            heard.append(item)
            if len(heard) == 2:
                source.let.release()
                left.append(FOR_EVER)  # to wait for its end
        assert heard == [None, None, 0]

    asyncio.run(read())


@pytest.mark.parametrize("waits", [True, False])
def test_the_source_ends_with_its_reader(waits: bool) -> None:
    """While it waits for its next item, or after one; it is gone when the block is left."""

    async def read() -> None:
        source = Source(2)
        if not waits:
            source.let.release()
        async with aclosing(with_heartbeat(source.numbers(), lambda: AT_ONCE)) as stream:
            async for item in stream:
                if waits or item is not None:
                    break
        assert source.closed.is_set()
        assert source.closed_by == "source"  # what it had set stays its own, to its end
        assert WHO.get() == ""

    asyncio.run(read())


def test_a_reader_that_is_cancelled_waits_for_the_sources_end() -> None:
    async def read() -> None:
        source = Source(1)
        begun = asyncio.Event()

        async def reader() -> None:
            async with aclosing(with_heartbeat(source.numbers(), lambda: AT_ONCE)) as stream:
                async for _ in stream:
                    begun.set()

        task = asyncio.create_task(reader())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.closed.is_set()

    asyncio.run(read())


def test_an_error_of_the_source_is_its_readers() -> None:
    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        raise RuntimeError("broken")

    async def read() -> None:
        stream = with_heartbeat(broken(), lambda: FOR_EVER)
        assert await anext(stream) == 1
        with pytest.raises(RuntimeError, match="broken"):
            await anext(stream)

    asyncio.run(read())
