"""What all readers share: what they tell of a packet, and bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from apps.pipeline.geometry import Orientation


class Part(Enum):
    """What a packet is to the pictures that are shown."""

    PICTURE = "picture"  # one picture, or the first field of one
    SECOND_FIELD = "second field"  # completes the picture of an earlier packet
    NOTHING = "nothing"  # no picture, or one that is never shown


@dataclass(frozen=True, slots=True)
class Coded:
    """What a packet holds.

    Args:
        part: see `Part`.
        place: where its picture belongs in display order: larger is later; None where the coded
            data do not say (or this project does not read them).
        restarts: decoding can begin with this packet as if nothing went before.
        has_headers: it carries parameters that no packet before it did.
        turned: how the picture is displayed, where the coded data say so.
        drops_previous: the picture before it turns out to be never shown: a field that stays alone.
        begins_sequence: its parameters replace others (another size, perhaps), so what the decoder
            holds back is to be taken out first.
    """

    part: Part = Part.PICTURE
    place: int | None = None
    restarts: bool = False
    has_headers: bool = False
    begins_sequence: bool = False
    drops_previous: bool = False
    turned: Orientation | None = None


class PacketReader(ABC):
    """Reads the packets of one stream, in the order of the file. It keeps what they refer to.

    Whatever cannot be understood is taken for a damaged picture, so that its number stays.

    Attributes:
        knows_order: its places are the decoder's own rule, whatever the container's times say.
        knows_starts: it tells where decoding can begin, whatever the container calls a key frame.
    """

    knows_order: ClassVar[bool] = False
    knows_starts: ClassVar[bool] = True

    @abstractmethod
    def read(self, data: bytes, *, is_key: bool) -> Coded:
        """Tells what a packet holds. Damaged data never raise.

        Args:
            data: the packet's, not empty.
            is_key: the container, or FFmpeg's parser, calls it a key frame.
        """

    @abstractmethod
    def learn(self, extradata: bytes) -> bool:
        """Takes parameters that the container changes midway; true where they are new."""

    def is_incomplete(self) -> bool:
        """After the last packet: its picture lacks the second field, and is not shown."""
        return False

    def needs_all(self) -> bool:
        """After the last packet: what the decoder shows depends on each of them."""
        return False


class PlainReader(PacketReader):
    """For codecs whose packets are pictures.

    Args:
        reorders: pictures may be shown in another order; which one is not known here.
        is_intra: no picture refers to another. Elsewhere the container's word for a key frame is
            not taken: some call every packet one.
    """

    knows_starts: ClassVar[bool] = False

    def __init__(self, *, reorders: bool, is_intra: bool) -> None:
        self._reorders = reorders
        self._is_intra = is_intra
        self._count = 0

    def read(self, data: bytes, *, is_key: bool) -> Coded:  # noqa: ARG002 of the protocol
        self._count += 1
        place = None if self._reorders else self._count
        return Coded(place=place, restarts=is_key and self._is_intra)

    def learn(self, extradata: bytes) -> bool:  # noqa: ARG002
        return True


class References:
    """Display places by the rule of MPEG-1, 2 and 4.

    A reference picture is shown when the next one comes, the others are shown at once (ISO/IEC
    13818-2, 6.1.1.11).
    """

    def __init__(self) -> None:
        self._references = 0
        self._others = 0

    def place(self, *, is_reference: bool) -> int:
        """Of the next picture in coding order."""
        if is_reference:
            self._references += 1
            self._others = 0
            return self._references << _OTHERS_BITS
        self._others += 1
        return (self._references - 1 << _OTHERS_BITS) + self._others


_OTHERS_BITS = 24


class Epochs:
    """Display places by a count that begins again at times (picture order counts)."""

    def __init__(self) -> None:
        self._epoch = 0
        self._newest: int | None = None

    def begin(self) -> None:
        """What comes is shown after everything before."""
        self._epoch += 1
        self._newest = None

    def is_behind(self, count: int) -> bool:
        """Whether a picture of this epoch is shown after a picture that has this count."""
        return self._newest is not None and count <= self._newest

    def place(self, count: int) -> int:
        """The display place of the next picture in coding order.

        Args:
            count: within the epoch; of less than 2**33 in size.
        """
        self._newest = count if self._newest is None else max(self._newest, count)
        return (self._epoch << 34) + count


class EndOfBits(Exception):
    """Fewer bits than were asked for: damaged data."""


class Bits:
    """Reads big-endian bits.

    Args:
        data: only the first 256 bytes are looked at.
    """

    def __init__(self, data: bytes) -> None:
        head = data[:256]
        self._value = int.from_bytes(head, "big")
        self._left = 8 * len(head)

    @property
    def left(self) -> int:
        """How many bits there are still."""
        return self._left

    def u(self, count: int) -> int:
        """An unsigned number of that many bits."""
        self._left -= count
        if self._left < 0:
            raise EndOfBits
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """Exp-Golomb (Rec. ITU-T H.264, 9.1)."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        if 2 * zeros + 1 > self._left or rest == 0:
            raise EndOfBits
        return self.u(2 * zeros + 1) - 1

    def se(self) -> int:
        """Exp-Golomb, signed."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 == 1 else -(code // 2)
