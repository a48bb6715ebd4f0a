"""NAL units of H.264 and HEVC packets (Rec. ITU-T H.264, 7.3.1 and Annex B; ISO/IEC 14496-15)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from apps.pipeline.decode.bitstream.base import Bits, EndOfBits, Epochs, PacketReader, Part
from apps.pipeline.geometry import Orientation, quarter_turns

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


RECOVERY_POINT, DISPLAY_ORIENTATION = 6, 47


@dataclass(frozen=True, slots=True)
class Messages:
    """Supplemental enhancement information (H.264, 7.3.2.3): types and contents of one unit."""

    found: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, unit: bytes) -> Self:
        """Reads the messages of a unit.

        Args:
            unit: without its header.
        """
        data, found, place = payload(unit), [], 0
        while place + 2 < len(data):
            kind, place = _number(data, place)
            size, place = _number(data, place)
            found.append((kind, data[place : place + size]))
            place += size
        return cls(tuple(found))

    def has(self, kind: int) -> bool:
        return self.first(kind) is not None

    def first(self, kind: int) -> bytes | None:
        return next((data for found, data in self.found if found == kind), None)


@dataclass(frozen=True, slots=True)
class Turn:
    """A display orientation message (H.264, D.2.27; H.265, D.3.17).

    Args:
        orientation: None takes back what was said before.
        persists: it holds for the pictures after this one as well.
    """

    orientation: Orientation | None
    persists: bool


class Turns:
    """How pictures are displayed, as messages beside them say it."""

    def __init__(self) -> None:
        self._lasting: Orientation | None = None
        self._message: Turn | None = None

    def read(self, messages: Messages, *, is_hevc: bool) -> None:
        """Takes messages that stand in front of a picture."""
        data = messages.first(DISPLAY_ORIENTATION)
        if data is not None:
            self._message = _read_turn(Bits(data), is_hevc=is_hevc) or self._message

    def next(self, *, begins: bool) -> Orientation | None:
        """Of the next picture; None where nothing is said of it.

        Args:
            begins: a sequence begins with it, for which nothing holds that was said before.
        """
        message, self._message = self._message, None
        if begins:
            self._lasting = None
        if message is None:
            return self._lasting
        if message.persists or message.orientation is None:
            self._lasting = message.orientation
        return message.orientation


def _number(messages: bytes, place: int) -> tuple[int, int]:
    """A number of a message, and where it ends: 255 as often as it goes, and the rest."""
    value = 0
    while place < len(messages) and messages[place] == 0xFF:
        value, place = value + 0xFF, place + 1
    return (value + messages[place] if place < len(messages) else value), place + 1


def _read_turn(bits: Bits, *, is_hevc: bool) -> Turn | None:
    try:
        if bits.u(1) == 1:
            return Turn(None, persists=True)
        left_right, up_down = bits.u(1) == 1, bits.u(1) == 1
        turns = quarter_turns(bits.u(16) * 360 / (1 << 16))
        persists = bits.u(1) == 1 if is_hevc else bits.ue() > 0
    except EndOfBits:
        return None
    # It is mirrored first, then turned; up and down is left and right and half a turn.
    return Turn(Orientation((turns + 2 * up_down) % 4, left_right != up_down), persists)


@dataclass
class UnitReader(PacketReader):
    """What the readers of H.264 and HEVC share: parameter sets, and what they know of a sequence.

    Args:
        extradata: a decoder configuration record, or parameter sets with start codes.

    Attributes:
        length_size: bytes in front of each unit that say its length; 0: start codes.
        active: sequence parameters of the last picture; None before the first.
    """

    extradata: bytes
    length_size: int = field(init=False, default=0)
    active: bytes | None = field(init=False, default=None)
    turns: Turns = field(init=False, default_factory=Turns)
    epochs: Epochs = field(init=False, default_factory=Epochs)
    _sets: dict[tuple[int, int], bytes] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.learn(self.extradata)

    @staticmethod
    @abstractmethod
    def unit_type(header: int) -> int:
        """The type of a unit.

        Args:
            header: first byte of a unit.
        """

    @abstractmethod
    def from_record(self, record: bytes) -> Iterable[bytes] | None:
        """Units of a decoder configuration record; None where it is none. Sets `length_size`."""

    @abstractmethod
    def take(self, unit_type: int, unit: bytes) -> int:
        """Keeps a parameter set of that type, and returns its number.

        Raises:
            EndOfBits: it is damaged.
        """

    def learn(self, extradata: bytes) -> bool:
        units = self.from_record(extradata)
        is_new = False
        for unit in Units(extradata, 0).all() if units is None else units:
            is_new |= self.parameters(unit)
        return is_new

    def parameters(self, unit: bytes) -> bool:
        """Takes a parameter set; true where it says something new, or cannot be read."""
        if not unit:
            return False
        unit_type = self.unit_type(unit[0])
        try:
            key = unit_type, self.take(unit_type, unit)
        except EndOfBits:
            return True
        known = self._sets.get(key)
        self._sets[key] = unit
        return known != unit
