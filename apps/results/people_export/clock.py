"""From a video's times to frames and timecodes, as editing programs count them. Pure.

Timecodes are those of SMPTE ST 12-1: at 30000/1001 frames a second and its multiples they usually
drop numbers (`;`), two a minute for each 30 frames a second, but not every tenth minute, so that
they keep up with the clock. No frame is dropped. Without that (`:`) an hour of them takes 3.6 s
more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from apps.common.contracts.manifest import VideoFacts
from apps.common.errors import InvalidInput

_THOUSAND = 1001
_USUAL = tuple(
    sorted(
        [Fraction(n * 1000, _THOUSAND) for n in (24, 30, 48, 60, 120)]
        + [Fraction(n) for n in (24, 25, 30, 48, 50, 60, 100, 120)]
    )
)
_SAME = 2e-4  # of a rate: how far a file's clock is off; 24 and 24000/1001 are 1e-3 apart
_EARLY = 0.15  # of a frame: rounding, of a file's clock to milliseconds and of rows
_TIMECODE = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;])(\d{2,9})", re.ASCII)
_DAY_HOURS = 24


@dataclass(frozen=True)
class FrameClock:
    """The frames of a timeline, from 0 where the video's first picture is.

    Where the video's rate varies, its pictures are put where their times are, as programs do.

    Args:
        rate: frames a second of the timeline.
        measured: frames a second to which the file keeps; `rate` where that varies.
        start_s: when the first picture is shown, seconds.
        frames: how many there are.
    """

    rate: Fraction
    measured: float
    start_s: float
    frames: int

    @classmethod
    def of(cls, video: VideoFacts, start_s: float) -> FrameClock:
        """That of a video.

        Args:
            start_s: when its first picture is shown, seconds.
        """
        rate = timeline_rate(video.fps, variable=video.variable_frame_rate)
        measured = float(rate) if video.variable_frame_rate else video.fps
        frames = max(1, math.ceil(video.duration_s * measured - _EARLY))
        return cls(rate, measured, start_s, frames)

    def frame(self, seconds: float) -> int:
        """The first frame that comes at a time or later; the number of frames where none does."""
        place = (seconds - self.start_s) * self.measured
        return min(max(0, math.ceil(place - _EARLY)), self.frames)

    def span(self, begin_s: float, end_s: float) -> tuple[int, int] | None:
        """The first frame of a stretch of time, and the one behind its last; at least one frame.

        None for what lies outside of the video.
        """
        first = self.frame(begin_s)
        if first >= self.frames or end_s <= self.start_s:
            return None
        return first, max(first + 1, self.frame(end_s))

    def spans(self, stretches: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
        """Those of stretches that lie in the video, in their order."""
        return [span for stretch in stretches if (span := self.span(*stretch)) is not None]


def timeline_rate(fps: float, *, variable: bool) -> Fraction:
    """The rate that an editing program gives to a video.

    Args:
        fps: frames a second, > 0.
        variable: that is a mean.
    """
    near = min(_USUAL, key=lambda rate: abs(math.log(fps / rate)))
    if variable or abs(fps / near - 1) < _SAME:
        return near
    whole = round(fps)
    if whole > 0 and abs(fps / whole - 1) < _SAME:
        return Fraction(whole)
    return max(Fraction(fps).limit_denominator(_THOUSAND), Fraction(1, _THOUSAND))


@dataclass(frozen=True)
class Timecodes:
    """Numbers frames as hours, minutes, seconds and frames.

    Args:
        rate: frames a second.
        drops: whether numbers are left out.
    """

    rate: Fraction
    drops: bool

    @classmethod
    def usual(cls, rate: Fraction) -> Timecodes:
        return cls(rate, can_drop(rate))

    @property
    def nominal(self) -> int:
        """How many frames a second of timecode has."""
        return math.ceil(self.rate)

    @property
    def _dropped(self) -> int:
        return self.nominal // 15 if self.drops else 0  # a minute, but for every tenth

    def text(self, frame: int) -> str:
        """The timecode of a frame; behind 24 hours it begins again.

        Args:
            frame: its number, >= 0; 0 is 00:00:00:00.
        """
        minute = self.nominal * 60 - self._dropped
        tens, rest = divmod(frame, minute * 10 + self._dropped)
        number = frame + 9 * self._dropped * tens
        if rest >= self.nominal * 60:
            number += self._dropped * (1 + (rest - self.nominal * 60) // minute)
        seconds, frames = divmod(number, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        digits = max(2, len(str(self.nominal - 1)))
        mark = ";" if self.drops else ":"
        return f"{hours % _DAY_HOURS:02d}:{minutes:02d}:{seconds:02d}{mark}{frames:0{digits}d}"

    def frame(self, hours: int, minutes: int, seconds: int, frames: int) -> int:
        """The frame of a timecode."""
        total = hours * 60 + minutes
        left_out = self._dropped * (total - total // 10)
        return (total * 60 + seconds) * self.nominal + frames - left_out


def can_drop(rate: Fraction) -> bool:
    """True where timecodes may leave out numbers."""
    return rate.denominator == _THOUSAND and math.ceil(rate) % 30 == 0


def start_of(text: str | None, rate: Fraction) -> tuple[int, Timecodes]:
    """The number of a video's first frame, and how frames are numbered.

    Args:
        text: its timecode; `;` before the frames says that numbers are dropped, `:` that none are.
            None: 0, and as is usual at the rate.
        rate: frames a second.

    Raises:
        InvalidInput: it is no timecode of that rate.
    """
    if text is None:
        return 0, Timecodes.usual(rate)
    found = _TIMECODE.fullmatch(text)
    if found is None:
        raise _refused(text, rate, "Write it as hours:minutes:seconds:frames, such as 01:00:00:00.")
    codes = Timecodes(rate, found[4] == ";")
    if codes.drops and not can_drop(rate):
        raise _refused(text, rate, "Numbers are dropped (;) at 29.97 and its multiples only.")
    frame = codes.frame(int(found[1]), int(found[2]), int(found[3]), int(found[5]))
    if frame < 0 or codes.text(frame) != text:
        raise _refused(text, rate, "There is no frame of that number.")
    return frame, codes


def _refused(text: str, rate: Fraction, hint: str) -> InvalidInput:
    shown = text if len(text) <= 40 else text[:40] + "…"
    return InvalidInput(
        f"{shown!r} is no timecode at {float(rate):.5g} frames a second.",
        hint=hint,
        field="start_timecode",
    )
