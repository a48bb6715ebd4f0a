"""MPEG-1 and MPEG-2 video: fields, sequences, and picture order (ISO/IEC 13818-2, 6.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from apps.pipeline.decode.bitstream.base import Coded, PacketReader, Part, References

_START_CODE = b"\0\0\1"
_PICTURE, _SEQUENCE, _EXTENSION, _GROUP = 0x00, 0xB3, 0xB5, 0xB8
_CLOSED = 0x40  # in the fourth byte of a group's header
_SLICES = range(0x01, 0xB0)
_SEQUENCE_EXTENSION, _PICTURE_EXTENSION = 1, 8
_I_PICTURE, _B_PICTURE = 1, 3
_TYPES = range(1, 5)  # Table 6-12
_FIELDS = (1, 2)  # top and bottom; 3 is a frame
_FRAME = 3


@dataclass
class Mpeg2Reader(PacketReader):
    """Reads packets of MPEG-1 and MPEG-2.

    Args:
        extradata: a sequence header, where the container has one.
    """

    knows_order: ClassVar[bool] = True

    extradata: bytes
    _headers: bytes = field(init=False, default=b"")
    _sequence: bytes = field(init=False, default=b"")
    _field: int | None = field(init=False, default=None)  # that waits for its other one
    _missing: int = field(init=False, default=0)  # references until B pictures can be decoded
    _order: References = field(init=False, default_factory=References)

    def __post_init__(self) -> None:
        self.learn(self.extradata)

    def learn(self, extradata: bytes) -> bool:
        return self._take(_Found.of(extradata))

    def read(self, data: bytes, *, is_key: bool) -> Coded:  # noqa: ARG002 the types tell it
        found = _Found.of(data)
        sequence = self._sequence
        has_headers = self._take(found)
        if found.picture is None:
            is_whole = bool(found.headers) and not found.has_slices
            return Coded(Part.NOTHING if is_whole else Part.PICTURE, has_headers=has_headers)
        if found.picture not in _TYPES:  # damage that looks like a start code; no decoder shows it
            return Coded(Part.NOTHING, has_headers=has_headers)
        begins = bool(sequence) and self._sequence != sequence
        if self._is_second(found):
            return Coded(Part.SECOND_FIELD, has_headers=has_headers)
        is_reference = found.picture != _B_PICTURE
        if begins:
            self._missing = 0 if found.is_closed else 2
        if is_reference:
            self._missing = max(0, self._missing - 1)
        elif self._missing > 0:  # it needs a picture of before
            return Coded(Part.NOTHING, has_headers=has_headers)
        place = self._order.place(is_reference=is_reference)
        return Coded(Part.PICTURE, place, found.picture == _I_PICTURE, has_headers, begins)

    def _take(self, found: _Found) -> bool:
        """Takes a sequence header; true where it says something new."""
        if not found.headers:
            return False
        is_new = found.headers != self._headers
        self._headers, self._sequence = found.headers, found.sequence
        return is_new

    def _is_second(self, found: _Found) -> bool:
        waiting, self._field = self._field, None
        if found.structure == _FRAME or found.pictures > 1:
            return False
        if waiting is not None and waiting != found.structure:
            return True
        self._field = found.structure
        return False


@dataclass
class _Found:
    """What stands in front of a packet's first slice.

    Args:
        picture: type of its first picture; None where there is none.
        structure: whether that picture is a field or a frame.
        pictures: how many begin; counted where the first is a field.
        is_closed: no picture of this group needs one of before.
        has_slices: something follows that belongs to a picture.
        headers: those of the sequence, whole.
        sequence: what of these makes another sequence: sizes, shape of pixels, rate. Matrices may
            change within one.
    """

    picture: int | None = None
    structure: int = _FRAME
    pictures: int = 0
    is_closed: bool = False
    has_slices: bool = False
    headers: bytes = b""
    sequence: bytes = b""

    @staticmethod
    def of(data: bytes) -> _Found:
        found = _Found()
        start = data.find(_START_CODE)
        while 0 <= start < len(data) - 4:
            code = data[start + 3]
            if code in _SLICES:
                found.has_slices = True
                break
            end = data.find(_START_CODE, start + 3)
            found._see(code, data[start + 4 : len(data) if end < 0 else end])
            start = end
        if found.structure in _FIELDS and start >= 0:
            found.pictures += data.count(_START_CODE + bytes([_PICTURE]), start)
        return found

    def _see(self, code: int, body: bytes) -> None:
        if code == _SEQUENCE:
            self.headers, self.sequence = body, body[:4]
        elif code == _GROUP and len(body) >= 4:
            self.is_closed = bool(body[3] & _CLOSED)
        elif code == _PICTURE and len(body) >= 2:
            self.picture, self.pictures = body[1] >> 3 & 7, self.pictures + 1
        elif code == _EXTENSION and len(body) >= 3:
            if body[0] >> 4 == _SEQUENCE_EXTENSION:
                self.headers, self.sequence = self.headers + body, self.sequence + body
            elif body[0] >> 4 == _PICTURE_EXTENSION:
                self.structure = body[2] & 3
