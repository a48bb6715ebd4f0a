"""Transport streams (ISO/IEC 13818-1) of which every packet's times are the test's own choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CLOCK = 90_000  # ticks a second
_PACKET, _SYNC = 188, 0x47
_PAT, _PMT, _FIRST_VIDEO = 0, 0x1000, 0x100
_WRAP = 1 << 33
_SOUND, _MPEG_SOUND_TYPE = 0x200, 0x03
_MPEG_SOUND = b"\xff\xfd\x80\x04".ljust(384, b"\0")  # a frame of layer II, 128 kbit/s, 48 kHz
STREAM_TYPES = {"mpeg1video": 0x01, "mpeg2video": 0x02, "h264": 0x1B, "hevc": 0x24}


@dataclass(frozen=True)
class Unit:
    """One PES packet. Times in ticks; None is not written."""

    data: bytes
    pts: int | None = None
    dts: int | None = None


def write_ts(
    path: Path,
    units: Iterable[Unit],
    codec: str = "h264",
    *,
    empty_programmes: int = 0,
    sound_from: int | None = None,
) -> Path:
    """Writes units in order, whatever their times.

    Args:
        codec: of all of them.
        empty_programmes: how many are announced before it, of which nothing is sent.
        sound_from: number of the unit from which on the programme has a sound as well.
    """
    mux = _Mux(STREAM_TYPES[codec], empty_programmes)
    with path.open("wb") as file:
        for number, unit in enumerate(units):
            if number == sound_from:
                mux.has_sound = True
            if number % 20 == 0 or number == sound_from:
                file.write(mux.tables())
            file.write(b"".join(mux.pes(unit)))
            if mux.has_sound:
                file.write(b"".join(mux.pes(Unit(_MPEG_SOUND, unit.pts), _SOUND)))
    return path


class _Mux:
    def __init__(self, stream_type: int, empty_programmes: int) -> None:
        self._stream_type = stream_type
        self._programmes = empty_programmes + 1
        self._counters: dict[int, int] = {}
        self._clock = 0
        self.has_sound = False

    def tables(self) -> bytes:
        numbers = range(self._programmes)
        pat = b"".join(_u16(n + 1) + _u16(0xE000 | _PMT + n) for n in numbers)
        tables = self._section(_PAT, 0x00, 1, pat)
        for n in numbers:
            pid = _FIRST_VIDEO + n
            body = _u16(0xE000 | pid) + _u16(0xF000)
            body += bytes([self._stream_type]) + _u16(0xE000 | pid) + _u16(0xF000)
            if self.has_sound:
                body += bytes([_MPEG_SOUND_TYPE]) + _u16(0xE000 | _SOUND) + _u16(0xF000)
            tables += self._section(_PMT + n, 0x02, n + 1, body)
        return tables

    def pes(self, unit: Unit, pid: int | None = None) -> Iterator[bytes]:
        """Args:
        pid: of a sound; the video's where there is none.
        """
        times = b""
        if unit.pts is not None:
            has_dts = unit.dts is not None and unit.dts != unit.pts
            times = _stamp(3 if has_dts else 2, unit.pts)
            times += _stamp(1, unit.dts or 0) if has_dts else b""
            self._clock = unit.pts if unit.dts is None else unit.dts
        flags = {0: 0x00, 5: 0x80, 10: 0xC0}[len(times)]
        header = bytes([0, 0, 1, 0xE0 if pid is None else 0xC0, 0, 0, 0x80, flags, len(times)])
        rest, is_first = header + times + unit.data, True
        pid = pid or _FIRST_VIDEO + self._programmes - 1
        while rest:
            adaptation = _clock_reference(self._clock) if is_first else b""
            room = _PACKET - 4 - (1 + len(adaptation) if adaptation else 0)
            piece, rest = rest[:room], rest[room:]
            yield self._packet(pid, adaptation, piece, is_first)
            is_first = False

    def _section(self, pid: int, table: int, number: int, body: bytes) -> bytes:
        version = 0xC3 if self.has_sound else 0xC1
        inner = _u16(number) + bytes([version, 0, 0]) + body
        section = bytes([table]) + _u16(0xB000 | len(inner) + 4) + inner
        section += _crc(section).to_bytes(4, "big")
        filled = (b"\0" + section).ljust(_PACKET - 4, b"\xff")
        return self._packet(pid, b"", filled, True)

    def _packet(self, pid: int, adaptation: bytes, piece: bytes, is_first: bool) -> bytes:
        counter = self._counters.get(pid, 0)
        self._counters[pid] = (counter + 1) % 16
        missing = _PACKET - 4 - len(piece) - (1 + len(adaptation) if adaptation else 0)
        if missing > 0 and not adaptation:
            adaptation = b"\0" if missing > 1 else b""
            missing -= 1 + len(adaptation)
            field = bytes([len(adaptation) + missing]) + adaptation + b"\xff" * missing
        elif adaptation:
            field = bytes([len(adaptation) + missing]) + adaptation + b"\xff" * missing
        else:
            field = b""
        control = (0x30 if field else 0x10) | counter
        head = bytes([_SYNC]) + _u16((0x4000 if is_first else 0) | pid) + bytes([control])
        return head + field + piece


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _stamp(prefix: int, ticks: int) -> bytes:
    t = ticks % _WRAP
    return bytes(
        [
            prefix << 4 | t >> 29 & 0x0E | 1,
            t >> 22 & 0xFF,
            t >> 14 & 0xFE | 1,
            t >> 7 & 0xFF,
            t << 1 & 0xFE | 1,
        ]
    )


def _clock_reference(ticks: int) -> bytes:
    """An adaptation field without its length."""
    t = ticks % _WRAP
    return bytes([0x10, t >> 25 & 0xFF, t >> 17 & 0xFF, t >> 9 & 0xFF, t >> 1 & 0xFF]) + bytes(
        [(t & 1) << 7 | 0x7E, 0]
    )


def _crc(data: bytes) -> int:
    """CRC-32/MPEG-2."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def blank_packets(path: Path, share: float, count: int) -> None:
    """Fills some of a file's packets with zeros.

    Args:
        share: of the file, where the first of them lies, 0..1.
        count: of packets.
    """
    data = bytearray(path.read_bytes())
    begin = int(len(data) * share) // _PACKET * _PACKET
    data[begin : begin + count * _PACKET] = bytes(count * _PACKET)
    path.write_bytes(data)
