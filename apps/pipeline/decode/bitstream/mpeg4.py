"""MPEG-4 Visual: pictures that are not coded, and two in a packet (ISO/IEC 14496-2, 6.2).

DivX and Xvid put a B picture behind the reference that it needs, into one packet ("packed
bitstream"), and a "not coded" picture of a few bytes where one too few is left. FFmpeg's decoder
shows one picture for each packet all the same: it keeps the second one for the next packet, and so
on until that placeholder comes. Elsewhere a picture that is not coded is one that the encoder left
out, and nothing is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from apps.pipeline.decode.bitstream.base import (
    Bits,
    Coded,
    EndOfBits,
    PacketReader,
    Part,
    References,
)

_START_CODE = b"\0\0\1"
_VOP = b"\0\0\1\xb6"
_SEQUENCE = b"\0\0\1\xb0"
_LAYERS = range(0x20, 0x30)  # video object layers
_DIVX = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:Build|b)\d+(p?)")
_SMALLEST, _CUSTOM_RATIO, _GREY = 19, 15, 3  # bytes of a placeholder at most; see the standard
_PLACEHOLDER = 7  # bytes: no longer one is kept
_I_PICTURE, _B_PICTURE = 0, 2
_NEVER_KEPT = 0x40  # bit of P and S pictures in the byte behind the start code


@dataclass
class Mpeg4Reader(PacketReader):
    """Reads packets of MPEG-4, part 2.

    Args:
        extradata: the layer's header, where the container has it.
    """

    extradata: bytes
    knows_order: ClassVar[bool] = True
    _layer: bytes = field(init=False, default=b"")
    _increment_bits: int | None = field(init=False, default=None)
    _is_packed: bool = field(init=False, default=False)
    _kept: int | None = field(init=False, default=None)  # type of the picture for the next packet
    _has_kept: bool = field(init=False, default=False)
    _order: References = field(init=False, default_factory=References)

    def __post_init__(self) -> None:
        self.learn(self.extradata)

    def learn(self, extradata: bytes) -> bool:
        return self._headers(extradata, len(extradata))

    def read(self, data: bytes, *, is_key: bool) -> Coded:  # noqa: ARG002 the types tell it
        picture = data.find(_VOP)
        layer = self._layer
        has_headers = self._headers(data, len(data) if picture < 0 else picture)
        begins = layer not in (b"", self._layer)
        kept = None if data.startswith(_SEQUENCE) else self._kept
        self._kept = None
        if kept is not None:
            self._keep(data, picture)
            return self._shown(kept, has_headers=has_headers, begins=begins)
        if picture < 0:
            is_header = len(data) > 3 and data.startswith(_START_CODE)
            return Coded(Part.NOTHING if is_header else Part.PICTURE, has_headers=has_headers)
        if len(data) - picture <= _SMALLEST and self._is_left_out(data[picture + 4 :]):
            return Coded(Part.NOTHING, has_headers=has_headers)
        self._keep(data, data.find(_VOP, picture + 4))
        kind = data[picture + 4] >> 6 if picture + 4 < len(data) else _B_PICTURE
        return self._shown(kind, has_headers=has_headers, begins=begins)

    def _shown(self, kind: int, *, has_headers: bool, begins: bool) -> Coded:
        place = self._order.place(is_reference=kind != _B_PICTURE)
        return Coded(Part.PICTURE, place, kind == _I_PICTURE, has_headers, begins)

    def _keep(self, data: bytes, start: int) -> None:
        """Where a picture for the next packet begins, if it is of a kind that is kept."""
        is_long = 0 <= start < len(data) - _PLACEHOLDER
        if self._is_packed and is_long and not data[start + 4] & _NEVER_KEPT:
            self._kept = data[start + 4] >> 6
            self._has_kept = True

    def needs_all(self) -> bool:
        return self._has_kept

    def _headers(self, data: bytes, end: int) -> bool:
        """Takes what stands in front of `end`; true where it has a layer's header that is new."""
        divx = _DIVX.search(data, 0, end)
        if divx is not None:
            self._is_packed = divx[1] == b"p"
        start = data.find(_START_CODE, 0, end)
        while 0 <= start < end - 4:
            following = data.find(_START_CODE, start + 3, end)
            if data[start + 3] in _LAYERS:
                layer = data[start + 4 : end if following < 0 else following]
                is_new, self._layer = layer != self._layer, layer
                self._increment_bits = _increment_bits(layer)
                return is_new
            start = following
        return False

    def _is_left_out(self, vop: bytes) -> bool:
        """Whether a picture is not coded, and nothing but stuffing follows (5.2.4, 6.2.5)."""
        if self._increment_bits is None:
            return False
        bits = Bits(vop)
        try:
            bits.u(2)
            while bits.u(1) == 1:
                pass
            bits.u(1)
            bits.u(self._increment_bits)
            bits.u(1)
            if bits.u(1) == 1:
                return False
            stuffing = bits.left % 8 or 8
            return bits.u(stuffing) == (1 << (stuffing - 1)) - 1 and bits.left == 0
        except EndOfBits:
            return False


def _increment_bits(layer: bytes) -> int | None:
    """How many bits the time of a picture takes; None where the header cannot be read."""
    bits, version = Bits(layer), 1
    try:
        bits.u(9)
        if bits.u(1) == 1:
            version = bits.u(4)
            bits.u(3)
        if bits.u(4) == _CUSTOM_RATIO:
            bits.u(16)
        if bits.u(1) == 1:
            bits.u(3)
            if bits.u(1) == 1:
                bits.u(79)
        if bits.u(2) == _GREY and version != 1:
            bits.u(4)
        bits.u(1)
        return max(1, (bits.u(16) - 1).bit_length())
    except EndOfBits:
        return None
