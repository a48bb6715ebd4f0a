"""HEVC: parameter sets and picture order (Rec. ITU-T H.265, 7.3, 8.1.3 and 8.3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.pipeline.decode.bitstream.base import Bits, Coded, EndOfBits, Part
from apps.pipeline.decode.bitstream.nal import (
    Messages,
    UnitReader,
    Units,
    counted_units,
    payload,
    without_picture,
)

_RADL_N, _RASL_R, _RASL = 6, 9, (8, 9)
_IDR = range(19, 21)
_CRA = 21
_IRAP = range(16, 24)
_SLICES = range(32)
_VPS, _SPS, _PPS = 32, 33, 34
_END_OF_SEQUENCE, _END_OF_BITSTREAM = 36, 37
_MESSAGES = 39
_BESIDE = {35, 38, 40}  # what else may stand beside a picture
_LAST_SUB_LAYER_NON_REFERENCE = 14


@dataclass(frozen=True, slots=True)
class _Sps:
    raw: bytes
    has_separate_planes: bool
    order_bits: int


@dataclass(frozen=True, slots=True)
class _Pps:
    sps: int
    has_output_flag: bool
    extra_bits: int


@dataclass(frozen=True, slots=True)
class _Slice:
    sps: _Sps
    is_output: bool
    order_lsb: int
    drops_held_back: bool


@dataclass
class HevcReader(UnitReader):
    """See `UnitReader`; the record is `hvcC`."""

    _sps: dict[int, _Sps] = field(init=False, default_factory=dict)
    _pps: dict[int, _Pps] = field(init=False, default_factory=dict)
    _msb: int = field(init=False, default=0)
    _lsb: int = field(init=False, default=0)
    _is_at_start: bool = field(init=False, default=True)  # of the stream, or after its end
    _drops_leading: bool = field(init=False, default=True)

    @staticmethod
    def unit_type(header: int) -> int:
        return header >> 1 & 0x3F

    def from_record(self, record: bytes) -> Iterable[bytes] | None:
        if len(record) < 23 or record[0] != 1:
            return None
        self.length_size = (record[21] & 3) + 1
        found, place = list[bytes](), 23
        for _ in range(record[22]):
            count = int.from_bytes(record[place + 1 : place + 3], "big")
            units, place = counted_units(record, place + 3, count)
            found += units
        return found

    def read(self, data: bytes, *, is_key: bool) -> Coded:  # noqa: ARG002 the units tell it
        has_headers, units = False, Units(data, self.length_size)
        has_parameters = False
        for start in units.starts():
            unit_type = self.unit_type(data[start])
            if unit_type in (_VPS, _SPS, _PPS):
                has_headers |= self.parameters(units.whole(start))
                has_parameters = True
            elif unit_type in (_END_OF_SEQUENCE, _END_OF_BITSTREAM):
                self._is_at_start = True
            elif unit_type in _SLICES and _layer(data, start) == 0:
                coded = self._picture(units.head(start), has_headers=has_headers)
                self._is_at_start |= _ends_sequence(data)
                return coded
            elif unit_type == _MESSAGES:
                self.turns.read(Messages.of(units.whole(start)[2:]), is_hevc=True)
            elif unit_type not in _BESIDE and _layer(data, start) == 0:
                return Coded(has_headers=has_headers)
        return Coded(without_picture(data, has_parameters), has_headers=has_headers)

    def _picture(self, unit: bytes, *, has_headers: bool) -> Coded:
        unit_type = self.unit_type(unit[0])
        try:
            s = self._slice(unit, unit_type)
        except (EndOfBits, KeyError):
            return Coded(has_headers=has_headers)
        count, is_start = self._count(s, unit, unit_type), unit_type in _IRAP
        begins = is_start and self._restarts(s, unit_type, count)
        place = self.epochs.place(count)
        is_shown = s.is_output and not (unit_type in _RASL and self._drops_leading)
        self.active = s.sps.raw
        part = Part.PICTURE if is_shown else Part.NOTHING
        turned = self.turns.next(begins=is_start and self._drops_leading)
        return Coded(part, place, is_start, has_headers, begins, turned=turned)

    def _restarts(self, s: _Slice, unit_type: int, count: int) -> bool:
        """Whether the decoder is to be emptied before a picture that decoding can begin with.

        After an end of the sequence, and where the picture says so, it would throw away what it
        holds back. No picture before such a one is shown after it (8.3.1); elsewise two
        recordings were joined here.
        """
        is_first = self.active is None
        is_behind = unit_type == _CRA and self.epochs.is_behind(count)
        is_joined = not is_first and (self._is_at_start or self.active != s.sps.raw or is_behind)
        self._is_at_start = False
        self._drops_leading = unit_type != _CRA or is_first or is_joined
        if self._drops_leading:
            self.epochs.begin()
        return is_joined or (s.drops_held_back and not is_first)

    def _count(self, s: _Slice, unit: bytes, unit_type: int) -> int:
        """The picture order count (8.3.1)."""
        full, msb = 1 << s.sps.order_bits, self._msb
        if s.order_lsb < self._lsb and self._lsb - s.order_lsb >= full // 2:
            msb += full
        elif s.order_lsb > self._lsb and s.order_lsb - self._lsb > full // 2:
            msb -= full
        is_leading = _RADL_N <= unit_type <= _RASL_R
        is_not_referred_to = unit_type <= _LAST_SUB_LAYER_NON_REFERENCE and unit_type % 2 == 0
        is_lowest = unit[1] & 7 == 1
        if is_lowest and not is_leading and not is_not_referred_to:
            self._msb, self._lsb = msb, s.order_lsb
        return msb + s.order_lsb

    def take(self, unit_type: int, unit: bytes) -> int:
        bits = Bits(payload(unit[2:]))
        if unit_type == _SPS:
            number, sps = _read_sps(unit, bits)
            self._sps[number] = sps
            return number
        if unit_type == _PPS:
            number, sps_number = bits.ue(), bits.ue()
            bits.u(1)
            self._pps[number] = _Pps(sps_number, bits.u(1) == 1, bits.u(3))
            return number
        return 0

    def _slice(self, unit: bytes, unit_type: int) -> _Slice:
        bits = Bits(payload(unit[2:]))
        bits.u(1)  # first of its picture
        drops_held_back = unit_type in _IRAP and bits.u(1) == 1
        pps = self._pps[bits.ue()]
        sps = self._sps[pps.sps]
        bits.u(pps.extra_bits)
        bits.ue()  # type
        is_output = bits.u(1) == 1 if pps.has_output_flag else True
        if sps.has_separate_planes:
            bits.u(2)
        lsb = 0 if unit_type in _IDR else bits.u(sps.order_bits)
        return _Slice(sps, is_output, lsb, drops_held_back and unit_type != _CRA)


def _layer(data: bytes, start: int) -> int:
    return (data[start] & 1) << 5 | data[start + 1] >> 3 if start + 1 < len(data) else 0


def _ends_sequence(data: bytes) -> bool:
    """Whether the last unit says that the sequence ends; it is two bytes long."""
    return (
        len(data) > 5
        and data[-2] >> 1 & 0x3F in (_END_OF_SEQUENCE, _END_OF_BITSTREAM)
        and (data[-5:-2] in (b"\0\0\1", b"\0\0\2"))
    )


def _read_sps(unit: bytes, bits: Bits) -> tuple[int, _Sps]:
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    bits.u(88)  # profile and tier
    bits.u(8)  # level
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers > 0:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)
    number = bits.ue()
    separate = bits.ue() == 3 and bits.u(1) == 1
    bits.ue()  # width
    bits.ue()  # height
    if bits.u(1) == 1:
        for _ in range(4):
            bits.ue()
    bits.ue()
    bits.ue()
    return number, _Sps(unit, separate, bits.ue() + 4)
