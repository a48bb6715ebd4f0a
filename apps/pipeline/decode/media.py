"""Media: what a browser must know of a file, from its header and its first pictures."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from apps.common.contracts.media import AudioFacts, MediaFacts
from apps.common.errors import VideoUnreadable
from apps.common.files import open_regular
from apps.common.media_types import HEAD_BYTES, media_type
from apps.pipeline.decode.bitstream import packet_reader
from apps.pipeline.decode.container import (
    HINT,
    candidates,
    chosen_stream,
    films_of,
    opened,
    packets_of,
    plainly_decoded,
)
from apps.pipeline.decode.decoder import NOT_ONE_FRAME
from apps.pipeline.decode.picture import Display

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

_LOOKED_AT = 5  # pictures: the first one of a broadcast may be progressive by chance
_FIELD_ORDERS = range(2, 6)  # FFmpeg's AVFieldOrder: of two fields
_SEQUENCE_HEADER = 7  # kind of the NAL unit of H.264 that tells profile and level
_AAC_OBJECT = {"LC": 2, "HE-AAC": 5, "HE-AACv2": 29, "Main": 1, "LTP": 4}
_TAGS = {"mp3": "mp3", "opus": "opus", "flac": "flac", "vorbis": "vorbis"}


def media_facts(path: Path) -> MediaFacts:
    """What kind of file it is, and what its likeliest video stream and its sound are.

    Raises:
        VideoUnreadable: it is no video, or not one of its pictures can be decoded.
    """
    try:
        with open_regular(path) as stream:
            kind = media_type(stream.read(HEAD_BYTES))
    except OSError:
        raise VideoUnreadable.missing() from None
    turned = _turned_by_pictures(path)
    with opened(path) as container:
        video = chosen_stream(container, candidates(container)[0])
        video.codec_context.thread_type = "NONE"
        display = Display(video)
        frames = list(itertools.islice(plainly_decoded(container, video), _LOOKED_AT))
        if not frames:
            raise VideoUnreadable(NOT_ONE_FRAME, hint=HINT)
        orientation = display.picture(frames[0]).orientation
        context = video.codec_context
        sound = sound_of(container)
        return MediaFacts(
            media_type=kind,
            codec=context.codec.canonical_name,
            tag=_video_tag(video),
            profile=context.profile,
            pixels=frames[0].format.name,
            width=frames[0].width,
            height=frames[0].height,
            stream=video.index,
            is_first=video.index == films_of(container)[0].index,
            interlaced=int(context.field_order) in _FIELD_ORDERS
            or any(frame.interlaced_frame for frame in frames),
            rotation=orientation.degrees,
            mirrored=orientation.mirrored,
            turned_by_pictures=turned,
            audio=None if sound is None else _audio_facts(sound),
        )


def sound_of(container: InputContainer) -> AudioStream | None:
    """The sound that a player takes: what is marked as the default, else the first."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    marked = [one for one in streams if one.disposition & type(one.disposition).default]
    return next(iter([*marked, *streams]), None)


def _turned_by_pictures(path: Path) -> bool:
    """Whether the coded data of the first pictures say how they are displayed."""
    with opened(path) as container:
        video = chosen_stream(container, candidates(container)[0])
        context = video.codec_context
        codec = context.codec
        reader = packet_reader(
            context.name, context.extradata, reorders=codec.reorder, is_intra=codec.intra_only
        )
        for packet in itertools.islice(packets_of(container, video), _LOOKED_AT):
            coded = reader.read(bytes(packet), is_key=packet.is_keyframe)
            if coded.turned is not None and (coded.turned.turns or coded.turned.mirrored):
                return True
    return False


def _audio_facts(sound: AudioStream) -> AudioFacts:
    context = sound.codec_context
    codec = context.codec.canonical_name
    tag = _TAGS.get(codec)
    if codec == "aac":
        tag = f"mp4a.40.{_AAC_OBJECT.get(context.profile or 'LC', 2)}"
    return AudioFacts(
        codec=codec,
        tag=tag,
        channels=context.layout.nb_channels,
        sample_rate=context.sample_rate,
        stream=sound.index,
    )


def _video_tag(video: VideoStream) -> str | None:
    """As RFC 6381 has it."""
    context = video.codec_context
    data = bytes(context.extradata or b"")
    match context.codec.canonical_name:
        case "h264":
            profile = data[1:4] if data[:1] == b"\x01" else _sequence_header(data)
            return None if len(profile) < 3 else f"avc1.{profile.hex()}"
        case "vp8":
            return "vp8"
        case "vp9":
            depth = 10 if "10" in (context.pix_fmt or "") else 8
            return f"vp09.{2 if depth == 10 else 0:02d}.{max(10, context.level):02d}.{depth:02d}"
        case "av1":
            return _av1_tag(data)
        case _:
            return None


def _sequence_header(data: bytes) -> bytes:
    """Profile, constraints and level from headers between start codes (ITU-T H.264, annex B)."""
    for unit in data.split(b"\x00\x00\x01")[1:]:
        if len(unit) >= 4 and unit[0] & 0x1F == _SEQUENCE_HEADER:
            return unit[1:4]
    return b""


def _av1_tag(data: bytes) -> str:
    """From the configuration box (AV1 in ISO BMFF, 2.3.3)."""
    if len(data) < 4 or data[0] != 0x81:
        return "av01.0.08M.08"
    profile, level = data[1] >> 5, data[1] & 0x1F
    tier = "H" if data[2] & 0x80 else "M"
    depth = 10 if data[2] & 0x40 else 8
    return f"av01.{profile}.{level:02d}{tier}.{depth:02d}"
