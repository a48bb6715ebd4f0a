"""How a run ended is said by the run itself, or by its launcher where it could not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from apps.common.contracts.events import ErrorEvent, Event
from apps.common.contracts.manifest import RunManifest
from apps.common.errors import RunCancelled, RunTimedOut
from apps.common.files import read_json
from apps.common.layout import Layout
from apps.runs.launch import start_run
from apps.runs.spec import RunSpec
from apps.runs.supervise import SupervisedProcess
from lab.processes.service import add_episode
from lab.specs import spec_of

Process = SupervisedProcess[Event]
EP = "show"
LEFT = RunCancelled("The client went away.")
LATE = RunTimedOut("The run took longer than 3 s.")


@pytest.fixture
def data_root(tmp_path: Path, test_data: Path) -> Path:
    root = tmp_path / "data"
    add_episode(root, EP, test_data / "videos" / "carphone_pristine.mp4")
    (root / "videos" / "text").mkdir()
    (root / "videos" / "text" / "episode.mp4").write_text("no video")
    return root


def ended(spec: RunSpec, end: Callable[[Process], Awaitable[object]]) -> RunManifest:
    """The manifest of a run that was started here and ended in some way."""

    async def run() -> None:
        process = await start_run(spec)
        try:
            await end(process)
        finally:
            await process.kill(LEFT)

    asyncio.run(run())
    files = Layout(Path(spec.data_root)).run(spec.ep_id, spec.run_id)
    assert not files.staging.exists()
    return RunManifest.model_validate(read_json(files.manifest))


async def until(process: Process, phase: str) -> None:
    async for event in process.events():
        if getattr(event, "phase", None) == phase:
            return


@pytest.mark.trap(48)
@pytest.mark.parametrize(("why", "status"), [(LEFT, "cancelled"), (LATE, "failed")])
def test_the_run_says_what_its_launcher_told_it(
    data_root: Path, why: RunCancelled | RunTimedOut, status: str
) -> None:
    async def end(process: Process) -> None:
        await until(process, "running")
        await process.kill(why)

    manifest = ended(spec_of(data_root, EP, "r1", stride=1, max_cpu_percent=20), end)
    assert (manifest.status, manifest.exit_reason) == (status, why.detail)
    log = Layout(data_root).run(EP, "r1").log.read_text()
    assert log.splitlines()[-1].endswith(why.detail)  # by itself, not by this process


@pytest.mark.trap(48)
def test_a_run_that_fails_while_its_client_leaves_keeps_its_reason(data_root: Path) -> None:
    """It has written how it ended; nobody has heard of it, and the process may still be there."""
    files = Layout(data_root).run("text", "r1")

    async def end(process: Process) -> None:
        while (read_json(files.manifest) or {}).get("status") != "failed":
            await asyncio.sleep(0.001)
        await process.kill(LEFT)

    manifest = ended(spec_of(data_root, "text", "r1"), end)
    assert manifest.status == "failed"
    assert "video" in (manifest.exit_reason or "")


@pytest.mark.trap(48)
def test_a_run_that_could_not_write_its_reason(data_root: Path) -> None:
    """It reported it, so that is what its launcher writes, whoever leaves then."""
    files = Layout(data_root).run("text", "r1")

    async def end(process: Process) -> None:
        async for event in process.events():
            if isinstance(event, ErrorEvent):
                body = files.manifest.read_text()  # as if the disk had been full
                files.manifest.write_text(body.replace('"failed"', '"running"'))
        await process.kill(LEFT)

    manifest = ended(spec_of(data_root, "text", "r1"), end)
    assert manifest.status == "failed"
    assert "video" in (manifest.exit_reason or "")


@pytest.mark.trap(48)
def test_a_run_that_the_system_killed_before_its_client_left(data_root: Path) -> None:
    async def end(process: Process) -> None:
        await until(process, "running")
        run = psutil.Process(process.pid)
        run.kill()
        while run.is_running() and run.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # this process has not asked how it ended yet
        await process.kill(LEFT)

    manifest = ended(spec_of(data_root, EP, "r1", stride=1, max_cpu_percent=20), end)
    assert manifest.status in ("failed", "cancelled")  # it may not have been noticed yet
    if manifest.status == "failed":
        assert manifest.exit_reason == "The process was killed by SIGKILL."
