"""NAL units of H.264 and HEVC packets (Rec. ITU-T H.264, 7.3.1 and Annex B; ISO/IEC 14496-15)."""

from __future__ import annotations

from collections.abc import Iterator

from apps.pipeline.bitstream.base import Part

_START_CODE = b"\0\0\1"


class Units:
    """The units of a packet, found one after the other: a slice's end is not looked for.

    Args:
        data: an access unit.
        length_size: bytes of the length before each unit; 0 where start codes stand there. Some
            files announce lengths and have start codes.
    """

    def __init__(self, data: bytes, length_size: int) -> None:
        has_start_codes = length_size == 0 or (length_size == 4 and data[:4] == b"\0\0\0\1")
        self._data = data
        self._length_size = 0 if has_start_codes else length_size

    def starts(self) -> Iterator[int]:
        """Where each unit begins: the place of its header."""
        data, size = self._data, self._length_size
        if size == 0:
            start = data.find(_START_CODE) + 3
            while 3 <= start < len(data):
                yield start
                start = data.find(_START_CODE, start) + 3
            return
        start = size
        while start < len(data):
            yield start
            start += self._length(start) + size

    def whole(self, start: int) -> bytes:
        """A unit with its header."""
        if self._length_size > 0:
            return self._data[start : start + self._length(start)]
        end = self._data.find(_START_CODE, start)
        return self._data[start : len(self._data) if end < 0 else end].rstrip(b"\0")

    def all(self) -> Iterator[bytes]:
        return (self.whole(start) for start in self.starts())

    def head(self, start: int) -> bytes:
        """Its first bytes, enough for the header of a slice."""
        return self._data[start : start + _HEAD]

    def _length(self, start: int) -> int:
        return int.from_bytes(self._data[start - self._length_size : start], "big")


_HEAD = 64  # bytes
_MARK = 16  # bytes at most: a delimiter, the end of a sequence


class ParameterSets:
    """Parameter sets by their type and number, to tell new ones from repeated ones."""

    def __init__(self) -> None:
        self._units: dict[tuple[int, int], bytes] = {}

    def take(self, unit_type: int, number: int, unit: bytes) -> bool:
        """True where it says something new."""
        known = self._units.get((unit_type, number))
        self._units[unit_type, number] = unit
        return known != unit


def without_picture(data: bytes, has_parameters: bool) -> Part:
    """A packet without a slice: parameter sets, a mark of some bytes, or a damaged picture."""
    return Part.NOTHING if has_parameters or len(data) <= _MARK else Part.PICTURE


def counted_units(record: bytes, place: int, count: int) -> tuple[list[bytes], int]:
    """Units of a decoder configuration record: two bytes of length before each.

    Returns:
        The units, and the place after them.
    """
    units = []
    for _ in range(count):
        size = int.from_bytes(record[place : place + 2], "big")
        units.append(record[place + 2 : place + 2 + size])
        place += 2 + size
    return units, place


def payload(unit: bytes) -> bytes:
    """Without the bytes that keep start codes out (7.4.1, `emulation_prevention_three_byte`)."""
    return unit.replace(b"\0\0\3", b"\0\0")
