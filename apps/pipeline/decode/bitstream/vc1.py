"""VC-1: sequence headers (SMPTE 421M, annex G). Its pictures' order is left to their times."""

from __future__ import annotations

from typing import ClassVar

from apps.pipeline.decode.bitstream.base import Coded, PacketReader

_START_CODE = b"\0\0\1"
_HEADERS = (0x0E, 0x0F)  # entry point, sequence
_FRAME = 0x0D


class Vc1Reader(PacketReader):
    """Reads packets of VC-1.

    Args:
        extradata: headers with start codes, where the container has them.
    """

    knows_starts: ClassVar[bool] = False

    def __init__(self, extradata: bytes) -> None:
        self._headers: dict[int, bytes] = {}
        self.learn(extradata)

    def learn(self, extradata: bytes) -> bool:
        return bool(self._take(extradata))

    def read(self, data: bytes, *, is_key: bool) -> Coded:
        known = 0x0F in self._headers
        new = self._take(data)
        return Coded(restarts=is_key, has_headers=bool(new), begins_sequence=known and 0x0F in new)

    def _take(self, data: bytes) -> set[int]:
        """Takes the headers in front of a frame; which of them are new."""
        new, start = set[int](), data.find(_START_CODE)
        while 0 <= start < len(data) - 4 and data[start + 3] != _FRAME:
            code, end = data[start + 3], data.find(_START_CODE, start + 3)
            body = data[start + 4 : len(data) if end < 0 else end]
            if code in _HEADERS and self._headers.get(code) != body:
                self._headers[code] = body
                new.add(code)
            start = end
        return new
