"""Container: opens a local video file, and nothing else than that file, and chooses its stream."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from apps.common.contracts.manifest import VideoFile
from apps.common.errors import VideoUnreadable
from apps.common.files import fingerprint_of
from apps.pipeline.decode.hardware import HardwareLost

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_TIMECODE = re.compile(r"(\d\d:\d\d:\d\d)([:;.])(\d{2,3})", re.ASCII)
# Demuxers that read one file and nothing else. Playlists (hls, dash, concat), image sequences and
# subtitle scripts are left out: they open other files.
ALLOWED_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "ogg",
    "asf",
    "mxf",
    "h264",
    "hevc",
    "m4v",
    "ivf",
    "gif",
    "y4m",
    "yuv4mpegpipe",
    "dv",
    "wtv",
    "rm",
    "mjpeg",
    "nut",
    "obu",
    "apng",
    "vc1",
    "vvc",
    "gxf",
    "nuv",
    "pva",
    "ty",
)
HINT = "Give a video file of a usual kind (mp4, mkv, webm, mov, avi, ts) that plays in a player."
_JPEG = b"\xff\xd8\xff"  # the marker SOI and the beginning of another: ITU-T T.81, B.2.1
_FIRST_BOXES = {b"ftyp", b"mdat", b"wide", b"free", b"skip"}
MAX_PIXELS = 2**26  # of one frame, 67 megapixels: twice 8K; a decoder takes several times that


@contextmanager
def opened(path: Path, hardware: HWAccel | None = None) -> Iterator[InputContainer]:
    """A video file, for its packets.

    Args:
        path: a regular file; URLs, playlists and pipes are refused.
        hardware: what is to decode it; None for software.

    Raises:
        VideoUnreadable: there is no such file, or it is no video.
        HardwareLost: there is no such device, or it does not decode this video.
    """
    if not path.is_file():
        raise VideoUnreadable(
            "The video is missing or is not a regular file.", hint="Look at its name and folder."
        )
    if path.stat().st_size == 0:
        raise VideoUnreadable("The video file is empty.", hint=HINT)
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(ALLOWED_FORMATS),
    }
    try:
        container = av.open(
            f"file:{path.resolve()}",
            format=_known_format(path),
            options=options,
            metadata_errors="ignore",
            hwaccel=hardware,
        )
    except (av.error.FFmpegError, ValueError, OSError, RuntimeError) as error:
        if hardware is not None:
            raise HardwareLost(f"it cannot be opened: {error}") from error
        if _lacks_index(path):
            raise _incomplete() from error
        raise VideoUnreadable(
            "The file is not a video that can be read.", hint=HINT, cause=_reason(error)
        ) from error
    with container:
        if container.format.name not in ALLOWED_FORMATS:
            raise VideoUnreadable(f"{container.format.name!r} is no video file.", hint=HINT)
        if not container.streams.video and _lacks_index(path):
            raise _incomplete()
        yield container


def identified(path: Path) -> VideoFile:
    """What tells a video file from another that takes its place.

    Raises:
        VideoUnreadable: it is gone, or cannot be read.
    """
    try:
        size, fingerprint = path.stat().st_size, fingerprint_of(path)
    except OSError as error:
        raise VideoUnreadable.missing() from error
    name = os.fsencode(path.name).decode("utf-8", "replace")
    return VideoFile(name=name, size_bytes=size, fingerprint=fingerprint)


FileState = tuple[int, int, int, int]


def state_of(path: Path) -> FileState | None:
    """Tells whether a path still leads to the file that it led to; None where it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _known_format(path: Path) -> str | None:
    """For pictures one after the other, which FFmpeg takes for an image; None for all others."""
    with path.open("rb") as file:
        return "mjpeg" if file.read(len(_JPEG)) == _JPEG else None


def _boxes(path: Path) -> Iterator[tuple[bytes, int, int, int]]:
    """The outermost boxes of a file, as if it were MP4 or MOV (ISO/IEC 14496-12, 4.2).

    Yields:
        Kind, first byte, bytes of the header, and bytes in all as the box has it; more than the
        file where that breaks off. One whose length cannot be is the last.

    Raises:
        OSError: it cannot be read.
    """
    at, end = 0, path.stat().st_size
    with path.open("rb") as file:
        while len(header := file.read(16)) >= 8:
            size = int.from_bytes(header[:4])
            length = 16 if size == 1 else 8
            size = int.from_bytes(header[8:]) if size == 1 else size or end - at
            yield header[4:8], at, length, size
            if size < 8:
                return
            at += size
            file.seek(at)


def _lacks_index(path: Path) -> bool:
    """Whether a file begins as MP4 or MOV does and has no whole `moov` box (ISO/IEC 14496-12)."""
    kinds, reached = set[bytes](), 0
    try:
        end = path.stat().st_size
        for kind, at, _, size in _boxes(path):
            if size < 8 or (at == 0 and kind not in _FIRST_BOXES):
                return False
            reached = at + size
            if reached <= end:
                kinds.add(kind)
    except OSError:
        return False
    return reached > 0 and b"moov" not in kinds


def beside_media(path: Path) -> list[tuple[int, int]] | None:
    """All bytes of an MP4 or MOV file but those of its pictures and sound.

    With these a demuxer finds every packet (ISO/IEC 14496-12), whether it is there or not.

    Returns:
        Each from one byte to another; None for a file of another kind, or one that breaks off.
    """
    found, reached = list[tuple[int, int]](), 0
    try:
        end = path.stat().st_size
        for kind, at, length, size in _boxes(path):
            if size < length or at + size > end or (at == 0 and kind not in _FIRST_BOXES):
                return None
            reached = at + size
            found.append((at, at + length if kind == b"mdat" else reached))
    except OSError:
        return None
    return found if reached == end else None


def _incomplete() -> VideoUnreadable:
    return VideoUnreadable(
        "The video is incomplete: the index that ends it is missing.",
        hint="Its recording or its copy was broken off: copy it again, or repair it.",
    )


def _reason(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else type(error).__name__


def films_of(container: InputContainer) -> list[VideoStream]:
    """The video streams in the file's order, without covers and stills."""
    return [stream for stream in container.streams.video if not _is_still(stream)]


def candidates(container: InputContainer) -> list[int]:
    """Numbers of the streams that may be the film, the likeliest first.

    As FFmpeg and players choose: one whose pictures are known before one that never sent any, the
    one that is marked as the default, the largest, the first. Covers and stills are none.

    Raises:
        VideoUnreadable: there is none.
    """
    films = films_of(container)
    if not films:
        raise VideoUnreadable("The file has no video stream.", hint=HINT)
    decodable = [stream for stream in films if stream.codec_context is not None]
    if not decodable:
        raise VideoUnreadable("There is no decoder for this video.", hint=HINT)
    return [stream.index for stream in sorted(decodable, key=_likelihood, reverse=True)]


def chosen_stream(container: InputContainer, number: int) -> VideoStream:
    """A stream by its number in the file, which must be of video.

    Raises:
        VideoUnreadable: it is not, has no decoder, or its pictures are too large.
    """
    films = {stream.index: stream for stream in container.streams.video}
    if number not in films:
        raise VideoUnreadable(
            f"Stream {number} of the file is no video.",
            hint=f"Its video streams: {', '.join(described(film) for film in films.values())}.",
        )
    stream = films[number]
    if stream.codec_context is None:
        raise VideoUnreadable("There is no decoder for this video.", hint=HINT)
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise VideoUnreadable(
            f"The video's pictures are larger than {MAX_PIXELS // 10**6} megapixels.",
            hint="Scale it down first; 8K has 33 megapixels.",
        )
    # A header may be honest and a later frame not: the decoder holds to the limit as well.
    context = stream.codec_context
    context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
    return stream


def described(stream: VideoStream) -> str:
    """For people: number, codec and size, e.g. `1 (h264, 640x360)`."""
    context = stream.codec_context
    if context is None:
        return f"{stream.index} (no decoder)"
    return f"{stream.index} ({context.codec.canonical_name}, {context.width}x{context.height})"


def timecode_of(container: InputContainer, stream: VideoStream) -> str | None:
    """Of the first picture, as the file's maker has set it; None where the file has none."""
    for metadata in (stream.metadata, container.metadata):
        found = _TIMECODE.fullmatch(metadata.get("timecode", ""))
        if found is not None:
            return f"{found[1]}{':' if found[2] == ':' else ';'}{found[3]}"
    return None


def _is_still(stream: Stream) -> bool:
    kinds = type(stream.disposition)
    return bool(stream.disposition & (kinds.attached_pic | kinds.timed_thumbnails))


def _likelihood(stream: VideoStream) -> tuple[bool, bool, int, int]:
    context = stream.codec_context
    area = context.width * context.height
    is_default = bool(stream.disposition & type(stream.disposition).default)
    return area > 0, is_default, area, -stream.index


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """All packets of a stream, without empty ones: those tell a decoder that nothing more comes.

    Raises:
        FFmpegError: the file breaks off.
    """
    try:
        for packet in container.demux(stream):
            if packet.size > 0:
                yield packet
    except IndexError:
        return  # PyAV, behind the last packet: of a stream that began in the middle of the file


def plainly_decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames as they come; damaged packets are passed over, and a broken file ends them."""
    try:
        for packet in packets_of(container, stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))
        yield from (f for f in stream.decode(None) if isinstance(f, av.VideoFrame))
    except av.error.FFmpegError:
        return
