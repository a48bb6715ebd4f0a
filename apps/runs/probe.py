"""Asks `apps.cli.probe` in a process of its own, so that the caller stays light."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from apps.common.contracts.manifest import VideoFacts
from apps.common.contracts.media import MediaFacts
from apps.common.errors import RunFailed, VideoUnreadable, from_dict
from apps.common.options import VideoStreamChoice
from apps.runs.child import Child

_TIMEOUT_SECONDS = 120.0  # the index of a long film on a slow disk
_PICTURE_SECONDS = 30.0
_REMEMBERED = 1024


async def host_providers() -> tuple[str, ...]:
    """ONNX Runtime's execution providers on this host."""
    answer = await _probe("host")
    return tuple(str(name) for name in answer["providers"])


class DetectorProbe:
    """Whether the embedded detector can be loaded; asked until it can."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._loaded: str | None = None
        self._asking = asyncio.Lock()

    async def model_id(self) -> str:
        """Loads the embedded detector in a process, once.

        Raises:
            ModelUnavailable, StorageFailed: it cannot.
        """
        async with self._asking:
            if self._loaded is None:
                self._loaded = str((await _probe("detector", str(self._cache)))["id"])
        return self._loaded


class VideoProbe:
    """Facts of videos, remembered until a file changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, VideoStreamChoice], tuple[tuple[int, int], VideoFacts]] = {}
        self._media: dict[Path, tuple[tuple[int, int], MediaFacts]] = {}

    async def facts(self, path: Path, stream: VideoStreamChoice = "auto") -> VideoFacts:
        """What the decoder finds in a video.

        Raises:
            VideoUnreadable: it is not a video.
        """
        try:
            stat = path.stat()
        except OSError:  # removed since it was found
            raise VideoUnreadable.missing() from None
        state, key = (stat.st_mtime_ns, stat.st_size), (path, stream)
        known = self._known.get(key)
        if known is not None and known[0] == state:
            return known[1]
        which = [] if stream == "auto" else [str(stream)]
        facts = VideoFacts.model_validate(await _probe("video", str(path), *which))
        self._known[key] = (state, facts)
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return facts

    async def media(self, path: Path) -> MediaFacts:
        """What a browser must know of a video.

        Raises:
            VideoUnreadable: it is not a video.
        """
        try:
            stat = await asyncio.to_thread(path.stat)
        except OSError:  # removed since it was found
            raise VideoUnreadable.missing() from None
        state = (stat.st_mtime_ns, stat.st_size)
        known = self._media.get(path)
        if known is not None and known[0] == state:
            return known[1]
        facts = MediaFacts.model_validate(await _probe("media", str(path)))
        self._media[path] = (state, facts)
        while len(self._media) > _REMEMBERED:
            del self._media[next(iter(self._media))]
        return facts


async def write_picture(video: Path, target: Path) -> None:
    """Writes a JPEG of one frame of a video.

    Raises:
        VideoUnreadable: it is not a video.
        StorageFailed: the file cannot be written.
    """
    await _probe("picture", str(video), str(target), timeout=_PICTURE_SECONDS)


async def write_still(video: Path, seconds: float, target: Path, form: str) -> None:
    """Writes the picture that a video shows at a time.

    Args:
        seconds: on the player's clock.
        form: `png` or `jpeg`.

    Raises:
        InvalidInput: the video has ended then.
        VideoUnreadable: it is not a video, or that picture cannot be decoded.
        StorageFailed: the file cannot be written.
    """
    await _probe("still", str(video), repr(seconds), str(target), form)


async def _probe(*arguments: str, timeout: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
    child = await Child.start("apps.cli.probe", ["--lifeline", *arguments])
    try:
        async with asyncio.timeout(timeout):
            output = b"".join([line async for line in child.lines()])
    except TimeoutError:
        raise VideoUnreadable(
            "Reading the video took too long.", hint="Check the file in a player."
        ) from None
    finally:
        await child.kill()
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RunFailed("The probe gave no answer.", hint="Install the requirements (make setup).")
    if "problem" in answer:
        raise from_dict(answer["problem"])
    return answer
