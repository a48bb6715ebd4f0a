"""Interlaced H.264 of which every field is a picture of its own (PAFF): no encoder here makes it.

Samples are stored as they are (I_PCM macroblocks), so that each field shows its number exactly.
Source: Rec. ITU-T H.264, 7.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from tests.pipeline.videos import Image, numbered

_I_PCM, _I_SLICE, _P_SLICE = 25, 7, 5
_IN_P_SLICE = 5  # types of macroblocks that are only in those come first
_ORDER_BITS = 8


class Kind(Enum):
    """How a picture is coded: its two fields, or one frame of both."""

    REFERENCES = "two reference fields"
    WITH_P = "an I field and a P field"
    NON_REFERENCES = "two fields to which nothing refers"
    MIXED = "a reference field and one to which nothing refers"
    FRAME = "a frame"


@dataclass(frozen=True)
class CodedPicture:
    """Args:
    number: that it shows, which is its place in display order.
    parts: access units: two fields, or a frame.
    """

    number: int
    parts: tuple[bytes, ...]


def coded_pictures(
    kinds: Iterable[Kind], order: Iterable[int] | None = None, *, is_bottom_first: bool = False
) -> list[CodedPicture]:
    """Args:
    kinds: in coding order; the first one begins the sequence and must not be NON_REFERENCES.
    order: numbers of the pictures in coding order; as coded by default.
    """
    wanted = list(kinds)
    numbers = list(range(len(wanted))) if order is None else list(order)
    pictures, frame_num = [], 0
    for place, (kind, number) in enumerate(zip(wanted, numbers, strict=True)):
        is_reference = kind is not Kind.NON_REFERENCES
        coder = _Coder(frame_num, number, is_idr=place == 0, is_reference=is_reference)
        second = replace(coder, is_reference=is_reference and kind is not Kind.MIXED)
        picture = numbered(number)
        if kind is Kind.FRAME:
            parts = [coder.frame(picture)]
        else:
            first = 1 if is_bottom_first else 0
            parts = [
                coder.field(picture, first, is_second=False, is_p=False),
                second.field(picture, 1 - first, is_second=True, is_p=kind is Kind.WITH_P),
            ]
        if place == 0:
            height, width = picture.shape[:2]
            parts[0] = _sps(width, height) + _pps() + parts[0]
        pictures.append(CodedPicture(number, tuple(parts)))
        frame_num += is_reference
    return pictures


@dataclass(frozen=True)
class _Coder:
    frame_num: int
    number: int
    is_idr: bool
    is_reference: bool

    def frame(self, picture: Image) -> bytes:
        bits = self._header(_I_SLICE).u(1, 0)
        self._order(bits, 0, is_idr=self.is_idr)
        return self._unit(bits, picture, is_idr=self.is_idr)

    def field(self, picture: Image, parity: int, *, is_second: bool, is_p: bool) -> bytes:
        """Args:
        parity: 0 for the top field.
        """
        is_idr = self.is_idr and not is_second
        bits = self._header(_P_SLICE if is_p else _I_SLICE).u(1, 1).u(1, parity)
        self._order(bits, int(is_second), is_idr=is_idr, is_p=is_p)
        return self._unit(bits, picture[parity::2], is_idr=is_idr, is_p=is_p)

    def _header(self, slice_type: int) -> _Bits:
        return _Bits().ue(0).ue(slice_type).ue(0).u(8, self.frame_num % 256)

    def _order(self, bits: _Bits, second: int, *, is_idr: bool, is_p: bool = False) -> None:
        if is_idr:
            bits.ue(0)
        bits.u(_ORDER_BITS, (2 * self.number + second) % (1 << _ORDER_BITS))
        if is_p:
            bits.u(2, 0)  # as many as usual, in the usual order
        if self.is_reference:
            bits.u(2 if is_idr else 1, 0)
        bits.se(0)

    def _unit(self, bits: _Bits, rows: Image, *, is_idr: bool, is_p: bool = False) -> bytes:
        grey = rows[:, :, 0]
        data = bytearray()
        for top in range(0, grey.shape[0], 16):
            for left in range(0, grey.shape[1], 16):
                if is_p:
                    bits.ue(0)  # no skipped macroblock before this one
                bits.ue(_I_PCM + (_IN_P_SLICE if is_p else 0))
                data += bits.aligned()
                bits = _Bits()
                data += grey[top : top + 16, left : left + 16].tobytes() + bytes([128]) * 128
        return _nal(3 if self.is_reference else 0, 5 if is_idr else 1, bytes(data) + b"\x80")


def _sps(width: int, height: int) -> bytes:
    bits = _Bits().u(8, 77).u(8, 0).u(8, 30).ue(0).ue(4).ue(0).ue(_ORDER_BITS - 4).ue(2).u(1, 0)
    bits.ue(width // 16 - 1).ue(height // 32 - 1).u(1, 0).u(1, 0).u(1, 1).u(1, 0)
    bits.u(1, 1).u(4, 0).u(1, 1).u(32, 1).u(32, 50).u(1, 1).u(3, 0)  # 25 frames a second
    bits.u(1, 1).u(1, 1).ue(0).ue(0).ue(10).ue(10).ue(2).ue(4)  # two frames may be held back
    return _nal(3, 7, bits.ended())


def _pps() -> bytes:
    bits = _Bits().ue(0).ue(0).u(2, 0).ue(0).ue(0).ue(0).u(3, 0).se(0).se(0).se(0).u(3, 0)
    return _nal(3, 8, bits.ended())


def _nal(reference: int, unit_type: int, payload: bytes) -> bytes:
    out, zeros = bytearray(b"\0\0\0\1"), 0
    out.append(reference << 5 | unit_type)
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def u(self, count: int, value: int) -> _Bits:
        self._bits += [value >> place & 1 for place in range(count - 1, -1, -1)]
        return self

    def ue(self, value: int) -> _Bits:
        return self.u(2 * (value + 1).bit_length() - 1, value + 1)

    def se(self, value: int) -> _Bits:
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def aligned(self) -> bytes:
        self.u(-len(self._bits) % 8, 0)
        return np.packbits(np.array(self._bits, np.uint8)).tobytes()

    def ended(self) -> bytes:
        return self.u(1, 1).aligned()
