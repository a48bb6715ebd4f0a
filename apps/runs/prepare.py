"""From a request to the line that a run's process reads: names, video, lock, options checked."""

from __future__ import annotations

import asyncio
import os

from apps.common.contracts.manifest import ExecutionMode
from apps.common.errors import RunExists
from apps.common.layout import Layout
from apps.common.options import RunRequest
from apps.common.resolve import HostFacts, Resolution, resolve, with_warning
from apps.common.schemas import EpisodeRequest
from apps.common.settings import Settings
from apps.common.version import SourceWatch
from apps.runs.episodes import check_video
from apps.runs.lock import busy_error, is_held
from apps.runs.probe import host_providers
from apps.runs.spec import RunSpec


class Host:
    """Facts of this host; what does not change while the program runs is asked once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._providers: tuple[str, ...] | None = None
        self._asking = asyncio.Lock()  # many first requests ask once

    async def facts(self) -> HostFacts:
        async with self._asking:
            if self._providers is None:
                self._providers = await host_providers()
        settings = self._settings
        cache = Layout(settings.data_root).cache
        return HostFacts.here(self._providers, settings.given_weights, cache)


async def resolve_here(
    request: RunRequest, host: Host, fingerprint: str, source: SourceWatch
) -> Resolution:
    """The options that a run on this host would have, with what its caller must be told.

    Args:
        fingerprint: names the code that this program has loaded.
        source: the code on disk; where it is another, there is a warning.

    Raises:
        InvalidInput, AcceleratorMissing: as `resolve`.
    """
    resolution = resolve(request, os.environ, await host.facts())
    if await asyncio.to_thread(source.fingerprint) == fingerprint:
        return resolution
    stale = "The server runs older code than the one on disk. Restart it."
    return with_warning(resolution, stale)


async def prepare_run(
    request: EpisodeRequest,
    mode: ExecutionMode,
    *,
    layout: Layout,
    settings: Settings,
    host: Host,
    fingerprint: str,
    source: SourceWatch,
) -> RunSpec:
    """Checks everything that can be checked before a process starts.

    Args:
        layout: of the data root, by its whole path.
        fingerprint: names the code that this program has loaded.
        source: the code on disk; where it is another, the run carries a warning.

    Raises:
        InvalidInput, AcceleratorMissing: as `resolve`.
        EpisodeNotFound: it has no video.
        StorageUnavailable: it has none here, and the storage does not say whether it has one there.
        EpisodeBusy: a process on this host runs it.
        RunExists: the episode has a run of that id.
    """
    ep_id, run_id = request.ep_id, request.run_id
    resolution = await resolve_here(request, host, fingerprint, source)
    await asyncio.to_thread(check_video, layout, ep_id)
    if is_held(layout, ep_id):
        raise busy_error(layout, ep_id)
    if run_id is not None and await asyncio.to_thread(_is_taken, layout, ep_id, run_id):
        raise RunExists(
            f"Run {run_id!r} of episode {ep_id!r} exists already.",
            hint="Choose another run_id, or leave it out to get a new one.",
        )
    return RunSpec.of(
        ep_id,
        run_id,
        resolution,
        settings,
        mode=mode,
        data_root=layout.root,
        nice=settings.local_nice if mode == "local" else 0,
        fingerprint=fingerprint,
    )


def _is_taken(layout: Layout, ep_id: str, run_id: str) -> bool:
    """Whether there is a run of that name, here or in the storage."""
    if layout.run(ep_id, run_id).manifest.exists():
        return True
    return layout.remote is not None and layout.remote.bring_run(layout, ep_id, run_id)
