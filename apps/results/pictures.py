"""A picture of each episode: one frame of its video, made when it is asked for and kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from apps.common.errors import ServiceStopping, VideoUnreadable, from_dict
from apps.common.files import storage_errors
from apps.common.layout import Layout
from apps.runs.episodes import find_video
from apps.runs.probe import write_picture

_AT_ONCE = 2  # decoders: a page may list hundreds of episodes
_REMEMBERED = 4096  # videos that cannot be read


class EpisodePictures:
    """Pictures under the cache folder, each made once for a video as it is now."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._decoders = asyncio.Semaphore(_AT_ONCE)
        self._making: dict[Path, asyncio.Task[None]] = {}
        self._unreadable: dict[Path, dict[str, Any]] = {}  # the problem of each

    async def find(self, ep_id: str) -> Path:
        """The JPEG's file, which is there.

        Raises:
            InvalidInput, EpisodeNotFound: there is no such episode, or no video in it.
            VideoUnreadable: it has no frame that decodes; not tried again until it changes.
            StorageFailed: the picture cannot be kept.
            ServiceStopping: the server goes.
        """
        video, target = await asyncio.to_thread(self._places, ep_id)
        if target in self._unreadable:
            raise from_dict(self._unreadable[target])
        if not await asyncio.to_thread(target.is_file):
            await self._make_once(video, target)
        return target

    def stop(self) -> None:
        """Ends the decoders; who waits for them gets an error."""
        for task in self._making.values():
            task.cancel()

    def _places(self, ep_id: str) -> tuple[Path, Path]:
        video = find_video(self._layout, ep_id)
        with storage_errors():
            facts = video.stat()
        name = f"{facts.st_size}-{facts.st_mtime_ns}.jpg"
        return video, self._layout.pictures(ep_id) / name

    async def _make_once(self, video: Path, target: Path) -> None:
        """Also where many ask at once. The work goes on when one of them leaves."""
        task = self._making.get(target)
        if task is None:
            task = self._making[target] = asyncio.create_task(self._make(video, target))
            task.add_done_callback(lambda done: self._made(target, done))
        await asyncio.wait({task})
        if task.cancelled():
            raise ServiceStopping(
                "The server is being stopped.",
                hint="Send the request again when the server is back.",
            )
        task.result()

    def _made(self, target: Path, task: asyncio.Task[None]) -> None:
        del self._making[target]
        if not task.cancelled():
            task.exception()  # looked at, also where nobody waits for it any more

    async def _make(self, video: Path, target: Path) -> None:
        async with self._decoders:
            await asyncio.to_thread(_clear, target.parent)
            try:
                await write_picture(video, target)
            except VideoUnreadable as error:
                self._unreadable[target] = error.to_dict()
                while len(self._unreadable) > _REMEMBERED:
                    del self._unreadable[next(iter(self._unreadable))]
                raise


def _clear(folder: Path) -> None:
    """Makes the episode's folder, without pictures of what the video was before."""
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink(missing_ok=True)
