"""What a server runs for its requests: one comparison at a time, and nothing once it stops."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from apps.api.leases import EpisodeLeases, RedisThreads
from apps.api.metrics import LocalMetrics
from apps.api.run_registry import RunRegistry
from apps.common.contracts.events import ErrorEvent
from apps.common.errors import ComparisonBusy, ServiceStopping, from_dict
from apps.common.schemas import ComparisonEvent
from apps.common.settings import Settings
from apps.comparison.process import ComparisonWork
from apps.jobs.store import JobStore
from apps.runs.child import Child
from apps.runs.supervise import SupervisedProcess


def registry(data_root: Path) -> RunRegistry:
    leases = EpisodeLeases(JobStore("redis://127.0.0.1:1/0", 1.0), RedisThreads())
    metrics = LocalMetrics(CollectorRegistry())
    return RunRegistry(Settings(data_root=data_root), leases, metrics)


async def start() -> SupervisedProcess[ComparisonEvent]:
    """A process that waits for its first line for as long as it is let."""
    child = await Child.start("apps.cli.make_preview", [])
    return SupervisedProcess(child, ComparisonWork("show"))


async def never() -> SupervisedProcess[ComparisonEvent]:
    raise AssertionError("it must not be started")


@pytest.mark.slow
def test_one_comparison_at_a_time(tmp_path: Path) -> None:
    async def run() -> None:
        runs = registry(tmp_path)
        async with runs.comparing("show", start):
            with pytest.raises(ComparisonBusy):
                await runs.comparing("show", never).__aenter__()
        async with runs.comparing("show", start):
            pass

    asyncio.run(run())


@pytest.mark.slow
def test_a_server_that_stops_ends_what_is_on_and_starts_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        runs = registry(tmp_path)
        async with runs.comparing("show", start) as process:
            runs.begin_stop()
            [last] = [event async for event in process.events()]
            assert isinstance(last, ErrorEvent)
            assert isinstance(from_dict(last.problem), ServiceStopping)
            await runs.stop()
        with pytest.raises(ServiceStopping):
            await runs.comparing("show", never).__aenter__()

    asyncio.run(run())


@pytest.mark.slow
def test_what_starts_while_the_server_stops_is_ended(tmp_path: Path) -> None:
    async def run() -> None:
        runs = registry(tmp_path)
        started: list[SupervisedProcess[ComparisonEvent]] = []

        async def late() -> SupervisedProcess[ComparisonEvent]:
            process = await start()
            started.append(process)
            runs.begin_stop()
            return process

        with pytest.raises(ServiceStopping):
            await runs.comparing("show", late).__aenter__()
        [event] = [event async for event in started[0].events()]
        assert isinstance(event, ErrorEvent)  # it is gone

    asyncio.run(run())
