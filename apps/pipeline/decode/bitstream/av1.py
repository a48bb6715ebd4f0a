"""AV1: sequence headers (AV1 specification, 5.3 and 5.5). A temporal unit shows one frame."""

from __future__ import annotations

from typing import ClassVar

from apps.pipeline.decode.bitstream.base import Coded, PacketReader

_SEQUENCE_HEADER = 1
_FRAMES = (3, 6)  # a frame's header, a whole frame: nothing that matters follows
_RECORD_BYTES = 4  # of `av1C`, in front of its units


class Av1Reader(PacketReader):
    """Reads packets of AV1.

    Args:
        extradata: an `av1C` record, or none.
    """

    knows_starts: ClassVar[bool] = False

    def __init__(self, extradata: bytes) -> None:
        self._sequence = b""
        self._count = 0
        self.learn(extradata)

    def learn(self, extradata: bytes) -> bool:
        is_record = extradata[:1] == b"\x81"
        return self._take(extradata[_RECORD_BYTES:] if is_record else extradata)

    def read(self, data: bytes, *, is_key: bool) -> Coded:
        before = self._sequence
        has_headers = self._take(data)
        self._count += 1
        begins = has_headers and bool(before)
        return Coded(
            place=self._count, restarts=is_key, has_headers=has_headers, begins_sequence=begins
        )

    def _take(self, data: bytes) -> bool:
        """Takes a sequence header; true where it is new."""
        found = _sequence_header(data)
        is_new = found not in (b"", self._sequence)
        self._sequence = found or self._sequence
        return is_new


def _sequence_header(data: bytes) -> bytes:
    """The first one in front of a frame; empty where there is none."""
    place = 0
    while place < len(data):
        header = data[place]
        kind, has_extension, has_size = header >> 3 & 15, header >> 2 & 1, header >> 1 & 1
        place += 1 + has_extension
        if kind in _FRAMES or not has_size:
            break
        size, place = _leb128(data, place)
        if kind == _SEQUENCE_HEADER:
            return data[place : place + size]
        place += size
    return b""


def _leb128(data: bytes, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for number in range(8):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << (7 * number)
        if byte & 0x80 == 0:
            break
    return value, place
