"""VP8 and VP9: frames that are decoded and never shown.

Sources: RFC 6386, 9.1; VP9 bitstream specification 0.6, 6.2 and annex B.
"""

from __future__ import annotations

from apps.pipeline.decode.bitstream.base import Coded, PacketReader, Part

_SHOWN_VP8, _INTER_VP8 = 0x10, 0x01
_MARKER_VP9 = 2
_PROFILE_WITH_RESERVED_BIT = 3


class _Shown(PacketReader):
    """Frames are shown in the order in which they are coded."""

    def __init__(self) -> None:
        self._count = 0

    def learn(self, extradata: bytes) -> bool:  # noqa: ARG002 of the protocol
        return False

    def coded(self, *, is_shown: bool, is_key: bool) -> Coded:
        self._count += 1
        part = Part.PICTURE if is_shown else Part.NOTHING
        return Coded(part, self._count, restarts=is_key)


class Vp8Reader(_Shown):
    def read(self, data: bytes, *, is_key: bool) -> Coded:  # noqa: ARG002 the frames tell it
        return self.coded(is_shown=bool(data[0] & _SHOWN_VP8), is_key=not data[0] & _INTER_VP8)


class Vp9Reader(_Shown):
    def read(self, data: bytes, *, is_key: bool) -> Coded:
        is_shown = any(_is_shown(data[start]) for start in _frames(data))
        return self.coded(is_shown=is_shown, is_key=is_key and _is_key(data[0]))


def _is_shown(first: int) -> bool:
    """Whether the frame is shown.

    Args:
        first: byte of a frame: marker, profile, then "shows another frame", or its type and
            "shown".
    """
    if first >> 6 != _MARKER_VP9:
        return True  # damaged
    profile = first >> 5 & 1 | first >> 3 & 2
    shift = 1 if profile == _PROFILE_WITH_RESERVED_BIT else 0
    shows_another = first >> (3 - shift) & 1
    return bool(shows_another or first >> (1 - shift) & 1)


def _is_key(first: int) -> bool:
    """Whether it is a key frame.

    Args:
        first: byte of a frame that shows no other.
    """
    shift = 1 if first >> 4 & 3 == _PROFILE_WITH_RESERVED_BIT else 0
    return not first >> (2 - shift) & 1


def _frames(data: bytes) -> list[int]:
    """Where the frames of a packet begin: several, where an index stands at its end (annex B)."""
    last = data[-1]
    if last & 0xE0 != 0xC0:
        return [0]
    count, width = (last & 7) + 1, (last >> 3 & 3) + 1
    index = len(data) - 2 - count * width
    if index < 0 or data[index] != last:
        return [0]
    starts, start = [], 0
    for number in range(count):
        place = index + 1 + number * width
        if start < index:
            starts.append(start)
        start += int.from_bytes(data[place : place + width], "little")
    return starts or [0]
