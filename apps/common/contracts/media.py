"""What a browser must know of a video file to play it, and how one is made that it plays."""

from __future__ import annotations

from typing import Literal

from apps.common.contracts.base import Readable

PlayableKind = Literal["source", "remuxed", "proxy"]
"""The file itself, its streams in another container, or encoded again."""


ClipKind = Literal["copied", "encoded"]
"""The source's own pictures, or encoded again."""


class AudioFacts(Readable):
    """The sound that a player takes.

    Args:
        codec: FFmpeg's name, e.g. `aac`.
        tag: as RFC 6381 has it, e.g. `mp4a.40.2`; None where it has none.
        stream: number in the file.
    """

    codec: str
    tag: str | None
    channels: int
    sample_rate: int
    stream: int


class MediaFacts(Readable):
    """A video file, as far as its header and its first pictures tell.

    Args:
        media_type: by its content, e.g. `video/mp4`.
        codec: FFmpeg's name, e.g. `h264`.
        tag: as RFC 6381 has it, e.g. `avc1.64001f`; None where it has none.
        profile: FFmpeg's name of it, e.g. `High 10`; None where it has none.
        pixels: FFmpeg's name of their layout, e.g. `yuv420p`.
        width, height: as stored.
        is_first: whether it is the file's first video stream, which a browser takes.
        interlaced: its pictures, or some of the first, are two fields.
        rotation: degrees counterclockwise that a player turns its pictures.
        mirrored: it mirrors them as well.
        turned_by_pictures: the coded pictures say so, not the container.
        audio: None where it has no sound.
    """

    media_type: str
    codec: str
    tag: str | None
    profile: str | None
    pixels: str | None
    width: int
    height: int
    stream: int
    is_first: bool = True
    interlaced: bool = False
    rotation: int = 0
    mirrored: bool = False
    turned_by_pictures: bool = False
    audio: AudioFacts | None = None


class PlayablePlan(Readable):
    """How a file is made that browsers play.

    Args:
        kind: what it is.
        why: why the source is not played itself, a sentence; None where it is.
        ending: `mp4` or `webm`.
        audio: `copy`, `encode` (as AAC), or None where there is no sound.
        deinterlace: its pictures are made of two fields.
    """

    kind: PlayableKind
    why: str | None = None
    ending: Literal["mp4", "webm"] = "mp4"
    audio: Literal["copy", "encode"] | None = None
    deinterlace: bool = False


class MadeFile(Readable):
    """What is noted beside a file that was made.

    Args:
        file: its name.
        mime: what it holds, as `canPlayType` wants it.
    """

    kind: PlayableKind
    file: str
    mime: str
    why: str | None = None


class ClipFile(MadeFile):
    """What is noted beside a clip: the time of its first picture, and when its last one ends."""

    from_s: float
    to_s: float
