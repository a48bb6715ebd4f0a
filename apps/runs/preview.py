"""The preview of a run that was made without one: what it needs, and how it joins the results."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import ValidationError

from apps.common.contracts.events import PreviewResult
from apps.common.contracts.manifest import RunManifest
from apps.common.cpu_limits import host_thread_limit
from apps.common.errors import PreviewBusy, RunNotFound
from apps.common.files import read_json, storage_errors, write_json
from apps.common.layout import Layout, RunFiles
from apps.common.settings import Settings
from apps.runs.episodes import fetched_video
from apps.runs.spec import PreviewSpec


def prepare_preview(layout: Layout, manifest: RunManifest, settings: Settings) -> PreviewSpec:
    """What the process needs to know.

    Args:
        manifest: report of a completed run.

    Raises:
        EpisodeNotFound: the video is gone.
        RunNotFound: the manifest lacks what the preview needs.
    """
    fetched_video(layout, manifest.ep_id)
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
