"""The preview of a run that was made without one: its process, and how it joins the results."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from apps.common.contracts.events import ErrorEvent, PreviewEvent, PreviewResult, PreviewResultEvent
from apps.common.contracts.manifest import RunManifest
from apps.common.cpu_limits import host_thread_limit
from apps.common.errors import (
    PreviewBusy,
    RunCancelled,
    RunFailed,
    RunNotFound,
    RunTimedOut,
    StorageFailed,
)
from apps.common.files import read_json, storage_errors, write_json
from apps.common.layout import Layout, RunFiles
from apps.common.settings import Settings
from apps.runs.child import Child, how_it_ended
from apps.runs.episodes import find_video
from apps.runs.spec import PreviewSpec

_EVENT: TypeAdapter[PreviewEvent] = TypeAdapter(PreviewEvent)


class PreviewProcess:
    """One `apps.cli.make_preview`. Use `start`, and await `kill` in a `finally`."""

    def __init__(self, spec: PreviewSpec, child: Child) -> None:
        self.spec = spec
        self._child = child
        self._killing: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, spec: PreviewSpec) -> PreviewProcess:
        return cls(spec, await Child.start("apps.cli.make_preview", [], spec.model_dump_json()))

    @property
    def pid(self) -> int:
        return self._child.pid

    async def events(self) -> AsyncIterator[PreviewEvent]:
        """All that it tells. The last one is a `PreviewResultEvent` or an `ErrorEvent`, always."""
        async for event in self._child.events(_EVENT):
            yield event
            if isinstance(event, PreviewResultEvent | ErrorEvent):
                return
        yield await self._died()

    async def kill(self, _why: RunCancelled | RunTimedOut, /) -> None:
        """Ends the process group and removes what it had begun. Safe to call again.

        The run has completed, so nothing is written about the end of this.
        """
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill())
        await asyncio.shield(self._killing)

    async def _kill(self) -> None:
        if await self._child.kill():
            self._remove_part()

    async def _died(self) -> ErrorEvent:
        code = await self._child.ended()
        self._remove_part()
        error = RunFailed(
            f"The preview's process {how_it_ended(code)} before it finished.",
            hint="Try again; if the system killed it, it may lack memory.",
            run_exit_code=code,
        )
        return ErrorEvent.of(error)

    def _remove_part(self) -> None:
        """Unless another process is at it by now: that one began with an empty folder."""
        layout = Layout(Path(self.spec.data_root))
        files = layout.run(self.spec.ep_id, self.spec.run_id)
        with suppress(PreviewBusy, StorageFailed), making_preview(files):
            shutil.rmtree(files.staging, ignore_errors=True)


def prepare_preview(layout: Layout, manifest: RunManifest, settings: Settings) -> PreviewSpec:
    """What the process needs to know.

    Args:
        manifest: of a completed run.

    Raises:
        EpisodeNotFound: the video is gone.
        RunNotFound: the manifest lacks what the preview needs.
    """
    find_video(layout, manifest.ep_id)
    limit, _ = host_thread_limit()
    try:
        return PreviewSpec(
            ep_id=manifest.ep_id,
            run_id=manifest.run_id,
            data_root=str(layout.root),
            video=manifest.video,
            video_file=manifest.video_file,
            cpu_threads=min(manifest.options.cpu_threads, limit),
            max_cpu_percent=manifest.options.max_cpu_percent,
            nice=settings.local_nice,
        )
    except ValidationError:
        raise RunNotFound(
            f"The manifest of run {manifest.run_id!r} lacks facts of its video.",
            hint="Run the episode again, with save_preview.",
        ) from None


@contextmanager
def making_preview(files: RunFiles) -> Iterator[None]:
    """Holds the right to make a run's preview; any death frees it. The folder itself is locked.

    Raises:
        PreviewBusy: another process has it.
        StorageFailed: the run's folder is gone.
    """
    with storage_errors():
        descriptor = os.open(files.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise preview_busy(files.folder.name) from None
        yield
    finally:
        os.close(descriptor)


def preview_busy(run_id: str) -> PreviewBusy:
    return PreviewBusy(
        f"The preview of run {run_id!r} is being made already.",
        hint="Wait until it is there, then look at it.",
    )


def add_preview(layout: Layout, ep_id: str, run_id: str) -> None:
    """Names the preview in the run's manifest, where it is not named yet."""
    files = layout.run(ep_id, run_id)
    body = read_json(files.manifest)
    result = None if body is None else body.get("result")
    artifacts = result.get("artifacts") if isinstance(result, dict) else None
    if not isinstance(artifacts, dict) or "preview" in artifacts:
        return
    artifacts["preview"] = files.preview.relative_to(layout.root).as_posix()
    with storage_errors(), suppress(UnicodeEncodeError):  # JSON can hold text that no file can
        write_json(files.manifest, body, durable=True)


def existing_preview(layout: Layout, ep_id: str, run_id: str) -> PreviewResult | None:
    """The answer for a run that has its preview."""
    if not layout.run(ep_id, run_id).preview.is_file():
        return None
    add_preview(layout, ep_id, run_id)
    return PreviewResult(ep_id=ep_id, run_id=run_id, elapsed_seconds=0.0)
