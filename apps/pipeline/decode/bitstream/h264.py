"""H.264: parameter sets, fields, and picture order (Rec. ITU-T H.264, 7.3 and 8.2.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.pipeline.decode.bitstream.base import Bits, Coded, EndOfBits, Part
from apps.pipeline.decode.bitstream.nal import (
    RECOVERY_POINT,
    Messages,
    UnitReader,
    Units,
    counted_units,
    payload,
    without_picture,
)

_NON_IDR, _IDR, _MESSAGES, _SPS, _PPS, _SPS_EXTENSION, _SUBSET_SPS = 1, 5, 6, 7, 8, 13, 15
_PARAMETERS = {_SPS, _PPS, _SPS_EXTENSION, _SUBSET_SPS}
_BESIDE = {9, 10, 11, 12, 14, 19, 20}  # what else may stand beside a picture
_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # profiles
_TOP, _BOTTOM = 0, 1
_INTRA = {2, 4, 7, 9}  # types of slices (table 7-6)


@dataclass(frozen=True, slots=True)
class _Sps:
    """What slice headers need of a sequence parameter set; `raw` tells it from another."""

    raw: bytes
    has_separate_planes: bool
    frame_num_bits: int
    order_type: int
    order_bits: int
    has_no_delta: bool
    frames_only: bool
    non_reference_offset: int = 0
    top_to_bottom_offset: int = 0
    cycle: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pps:
    sps: int
    has_bottom_order: bool


@dataclass(frozen=True, slots=True)
class _Slice:
    """Of a picture's first slice: `parity` is None for a frame."""

    sps: _Sps
    is_idr: bool
    is_intra: bool
    is_reference: bool
    frame_num: int
    parity: int | None
    order_lsb: int
    delta_bottom: int
    deltas: tuple[int, int]


@dataclass
class _Order:
    """Picture order counts (8.2.1), without operation 5 of the memory marking."""

    msb: int = 0
    lsb: int = 0
    frame_num: int = 0
    frame_num_offset: int = 0

    def count(self, s: _Slice) -> int:
        if s.sps.order_type == 0:
            return self._by_lsb(s)
        self._follow_frame_num(s)
        if s.sps.order_type == 1:
            return self._by_cycle(s)
        whole = 2 * (self.frame_num_offset + s.frame_num)
        return whole if s.is_reference else whole - 1

    def _by_lsb(self, s: _Slice) -> int:
        if s.is_idr:
            self.msb = self.lsb = 0
        full = 1 << s.sps.order_bits
        msb = self.msb
        if s.order_lsb < self.lsb and self.lsb - s.order_lsb >= full // 2:
            msb += full
        elif s.order_lsb > self.lsb and s.order_lsb - self.lsb > full // 2:
            msb -= full
        if s.is_reference:
            self.msb, self.lsb = msb, s.order_lsb
        return msb + s.order_lsb + min(0, s.delta_bottom)

    def _follow_frame_num(self, s: _Slice) -> None:
        if s.is_idr:
            self.frame_num_offset = 0
        elif s.frame_num < self.frame_num:
            self.frame_num_offset += 1 << s.sps.frame_num_bits
        self.frame_num = s.frame_num

    def _by_cycle(self, s: _Slice) -> int:
        sps = s.sps
        number = self.frame_num_offset + s.frame_num if sps.cycle else 0
        if not s.is_reference and number > 0:
            number -= 1
        expected = 0
        if number > 0:
            rounds, rest = divmod(number - 1, len(sps.cycle))
            expected = rounds * sum(sps.cycle) + sum(sps.cycle[: rest + 1])
        if not s.is_reference:
            expected += sps.non_reference_offset
        top = expected + s.deltas[0]
        if s.parity == _BOTTOM:
            return top + sps.top_to_bottom_offset
        bottom = top + sps.top_to_bottom_offset + s.deltas[1]
        return top if s.parity == _TOP else min(top, bottom)


@dataclass
class _Pairing:
    """Which fields make up one picture, as FFmpeg's decoder decides it (`h264_field_start`).

    A field completes the one before where it has the other parity and the same `frame_num`, and
    both or none of them are referred to. A field that stays alone is not shown, unless several did.

    Attributes:
        is_odd: there are such fields.
    """

    is_odd: bool = False
    _first: _Slice | None = None  # that waits for its other one
    _is_shown_alone: bool = False
    _alone: int = 0

    def part(self, s: _Slice) -> tuple[Part, bool]:
        """What a picture or field is, and whether the one before is dropped."""
        first, is_dropped = self._first, self.is_incomplete()
        if first is not None:
            if s.parity not in (None, first.parity) and s.frame_num == first.frame_num:
                if s.is_reference == first.is_reference:
                    self._first, self._alone = None, 0
                else:
                    self.is_odd = True
                return Part.SECOND_FIELD, False
            self._alone = self._alone + 1 if s.parity in (None, first.parity) else 0
            self.is_odd |= self._alone > 1
        self._first = None if s.parity is None else s
        self._is_shown_alone = self._alone > 1
        return Part.PICTURE, is_dropped

    def is_incomplete(self) -> bool:
        return self._first is not None and not self._is_shown_alone


@dataclass
class H264Reader(UnitReader):
    """See `UnitReader`; the record is `avcC`."""

    _sps: dict[int, _Sps] = field(init=False, default_factory=dict)
    _pps: dict[int, _Pps] = field(init=False, default_factory=dict)
    _can_recover: bool = field(init=False, default=False)  # says a message of the next picture
    _undecodable: int | None = field(init=False, default=None)  # below this count, after a join
    _order: _Order = field(init=False, default_factory=_Order)
    _pairing: _Pairing = field(init=False, default_factory=_Pairing)

    @staticmethod
    def unit_type(header: int) -> int:
        return header & 0x1F

    def from_record(self, record: bytes) -> Iterable[bytes] | None:
        if len(record) < 7 or record[0] != 1:
            return None
        self.length_size = (record[4] & 3) + 1
        found, place = list[bytes](), 5
        for mask in (0x1F, 0xFF):  # sequence parameter sets, then those of pictures
            count = record[place] & mask if place < len(record) else 0
            units, place = counted_units(record, place + 1, count)
            found += units
        return found

    def read(self, data: bytes, *, is_key: bool) -> Coded:  # noqa: ARG002 the units tell it
        has_headers, units = False, Units(data, self.length_size)
        has_parameters = False
        for start in units.starts():
            unit_type = self.unit_type(data[start])
            if unit_type in _PARAMETERS:
                has_headers |= self.parameters(units.whole(start))
                has_parameters = True
            elif unit_type in (_NON_IDR, _IDR):
                return self._picture(units.head(start), has_headers=has_headers)
            elif unit_type == _MESSAGES:
                self._messages(units.whole(start))
            elif unit_type not in _BESIDE:
                return Coded(has_headers=has_headers)
        return Coded(without_picture(data, has_parameters), has_headers=has_headers)

    def _messages(self, unit: bytes) -> None:
        messages = Messages.of(unit[1:])
        self.turns.read(messages, is_hevc=False)
        self._can_recover |= messages.has(RECOVERY_POINT)

    def _picture(self, unit: bytes, *, has_headers: bool) -> Coded:
        is_idr = self.unit_type(unit[0]) == _IDR
        try:
            s = self._slice(unit)
        except (EndOfBits, KeyError):
            return Coded(has_headers=has_headers)
        part, drops = self._pairing.part(s)
        count, is_first = self._order.count(s), part is Part.PICTURE
        is_start = is_idr and is_first
        can_recover, self._can_recover = self._can_recover, False
        begins = is_first and self._restarts(s, count, can_recover=can_recover)
        if is_start or begins:
            self.epochs.begin()
            self._undecodable = count if begins and not is_idr else None
        if self._undecodable is not None and count < self._undecodable:
            part = Part.NOTHING
        place = self.epochs.place(count)
        self.active = s.sps.raw
        turned = self.turns.next(begins=is_start)
        return Coded(part, place, is_start, has_headers, begins, drops, turned)

    def _restarts(self, s: _Slice, count: int, *, can_recover: bool) -> bool:
        """Whether the decoder is to be emptied before a picture.

        No picture before a random access point is shown after it: elsewise two recordings were
        joined here, and a decoder would throw away those of the second until they are newer.
        """
        if s.is_idr:
            return self.active not in (None, s.sps.raw)
        return can_recover and s.is_intra and self.epochs.is_behind(count)

    def is_incomplete(self) -> bool:
        return self._pairing.is_incomplete()

    def needs_all(self) -> bool:
        return self._pairing.is_odd

    def take(self, unit_type: int, unit: bytes) -> int:
        data = payload(unit[1:])
        if unit_type == _SPS:
            number, sps = _read_sps(unit, data)
            self._sps[number] = sps
            return number
        if unit_type == _PPS:
            bits = Bits(data)
            number = bits.ue()
            sps_number = bits.ue()
            bits.u(1)
            self._pps[number] = _Pps(sps_number, bits.u(1) == 1)
            return number
        return 0

    def _slice(self, unit: bytes) -> _Slice:
        is_idr, bits = self.unit_type(unit[0]) == _IDR, Bits(payload(unit[1:]))
        bits.ue()  # first macroblock
        is_intra = bits.ue() in _INTRA
        pps = self._pps[bits.ue()]
        sps = self._sps[pps.sps]
        if sps.has_separate_planes:
            bits.u(2)
        frame_num = bits.u(sps.frame_num_bits)
        is_field = not sps.frames_only and bits.u(1) == 1
        parity = bits.u(1) if is_field else None
        if is_idr:
            bits.ue()  # its number
        has_bottom = pps.has_bottom_order and not is_field
        lsb, delta_bottom, deltas = 0, 0, (0, 0)
        if sps.order_type == 0:
            lsb = bits.u(sps.order_bits)
            delta_bottom = bits.se() if has_bottom else 0
        elif sps.order_type == 1 and not sps.has_no_delta:
            deltas = (bits.se(), bits.se() if has_bottom else 0)
        is_reference = unit[0] & 0x60 != 0
        return _Slice(
            sps, is_idr, is_intra, is_reference, frame_num, parity, lsb, delta_bottom, deltas
        )


def _read_sps(unit: bytes, data: bytes) -> tuple[int, _Sps]:
    bits = Bits(data)
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    separate = False
    if profile in _WITH_CHROMA:
        if bits.ue() == 3:
            separate = bits.u(1) == 1
            lists = 12
        else:
            lists = 8
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1) == 1:
            _skip_scaling_lists(bits, lists)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    order_bits, has_no_delta, offsets = 0, False, (0, 0)
    cycle: tuple[int, ...] = ()
    if order_type == 0:
        order_bits = bits.ue() + 4
    elif order_type == 1:
        has_no_delta = bits.u(1) == 1
        offsets = (bits.se(), bits.se())
        cycle = tuple(bits.se() for _ in range(min(bits.ue(), 255)))
    bits.ue()  # reference frames
    bits.u(1)
    bits.ue()  # width
    bits.ue()  # height
    frames_only = bits.u(1) == 1
    return number, _Sps(
        unit,
        separate,
        frame_num_bits,
        order_type,
        order_bits,
        has_no_delta,
        frames_only,
        *offsets,
        cycle,
    )


def _skip_scaling_lists(bits: Bits, count: int) -> None:
    for number in range(count):
        if bits.u(1) == 0:
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following != 0:
                following = (last + bits.se()) % 256
            last = last if following == 0 else following
