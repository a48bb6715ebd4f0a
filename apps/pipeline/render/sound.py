"""Sound: that of a video for a file that is made of it, at the times of the player's clock.

It is copied, or encoded as AAC where it must be. Where the source's clock leaps, sound leaps with
the pictures; holes are filled with silence, so that it stays with them.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import av
import av.error
import numpy as np

from apps.pipeline.decode.container import chosen_stream, opened
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.media import sound_of
from apps.pipeline.decode.selection import NOT_SHOWN
from apps.pipeline.decode.video import Video

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_BEFORE_ZERO_S = -0.1  # what encoders put before the first sound, and players leave out
_AFTER_END_S = 600.0  # sound may go on behind the last picture; a wrong time must not fill a disk
_SLACK_S = 0.05  # by which sound may be away from its time; more is a hole, or a leap back
_LONGEST_HOLE_S = 3600.0  # sound behind a longer one is left out: silence of years would be made
_RATES = frozenset({16_000, 22_050, 24_000, 32_000, 44_100, 48_000})  # that AAC is made with
_USUAL_RATE = 48_000
_BIT_RATE = 160_000


@dataclass(frozen=True)
class SoundPlan:
    """Which sound goes into a file.

    Args:
        copied: codecs that the file may hold; others are encoded as AAC.
        start_s, end_s: the part that is wanted, on the player's clock; it is heard from zero on.
    """

    copied: frozenset[str]
    start_s: float = 0.0
    end_s: float = math.inf


def is_of_the_disk(error: av.error.FFmpegError) -> bool:
    """Whether FFmpeg could not write, rather than not understand."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


class Sound:
    """No sound at all."""

    def until(self, seconds: float) -> None:
        """Writes what is heard until then.

        Args:
            seconds: on the player's clock.
        """

    def rest(self) -> None:
        """Writes all that is left."""


class _Target(Protocol):
    """Where sound goes."""

    def add(self, packet: Packet[Any], offset_s: float) -> None: ...

    def end(self) -> None: ...


@contextmanager
def sound_for(video: Video, output: OutputContainer, plan: SoundPlan | None) -> Iterator[Sound]:
    """The sound of a video, for a file that is being made; a video without sound gives none.

    Args:
        output: nothing is written to it yet.
        plan: None for no sound.

    Raises:
        FFmpegError: the disk does not take it.
    """
    if plan is None:
        yield Sound()
        return
    with opened(video.path) as container:
        stream = sound_of(container)
        if stream is None or stream.codec_context.sample_rate <= 0 or stream.time_base is None:
            yield Sound()
            return
        target: _Target
        if stream.codec_context.codec.canonical_name in plan.copied:
            target = _Copied(stream, output)
        else:
            target = _Encoded(stream, output, video.index.end_s + _AFTER_END_S)
        yield _Playing(_timed(container, stream, video, plan), target)


class _Playing(Sound):
    def __init__(
        self, packets: Iterator[tuple[Packet[Any], float, float]], target: _Target
    ) -> None:
        self._packets = packets
        self._target = target
        self._time_s = -1e9

    def until(self, seconds: float) -> None:
        while self._time_s < seconds:
            found = next(self._packets, None)
            if found is None:
                self._time_s = float("inf")
                return
            packet, offset_s, self._time_s = found
            self._try(partial(self._target.add, packet, offset_s))

    def rest(self) -> None:
        self.until(float("inf"))
        self._try(self._target.end)

    def _try(self, write: Callable[[], None]) -> None:
        """Sound that cannot be written ends there; the pictures go on without it."""
        try:
            write()
        except av.error.FFmpegError as error:
            if is_of_the_disk(error):
                raise
            self._packets = iter(())


def _timed(
    container: InputContainer, stream: AudioStream, video: Video, plan: SoundPlan
) -> Iterator[tuple[Packet[Any], float, float]]:
    """Packets of sound, what leads from their clock to the file's, and when they are heard."""
    earliest_s = plan.start_s if plan.start_s > 0 else _BEFORE_ZERO_S
    index = video.index
    leaps = _Leaps(index) if index.timeline.jumps else None
    streams = [stream] if leaps is None else [stream, chosen_stream(container, video.stream)]
    offset_s, newest = -index.zero_s, 0.0
    try:
        for packet in container.demux(streams):
            if packet.size == 0:
                continue
            if packet.stream.index != stream.index:
                if leaps is not None:
                    leaps.see(packet)
                continue
            base = float(packet.time_base or 0)
            if packet.pts is None:
                packet.pts = packet.dts
            if leaps is not None and packet.pts is not None:
                offset_s = leaps.offset(packet.pts * base, newest)
            newest = newest if packet.pts is None else packet.pts * base + offset_s
            if newest >= plan.end_s:
                return
            if newest >= earliest_s:
                yield packet, offset_s - plan.start_s, newest - plan.start_s
    except (av.error.FFmpegError, IndexError):  # the file breaks off; PyAV, of odd streams
        return


class _Leaps:
    """From the file's clock to the player's, where the former leaps: as the pictures near by."""

    def __init__(self, index: FrameIndex) -> None:
        self._index = index
        self._number = -1
        self._offsets = [-index.zero_s]  # the one that holds, and the one before

    def see(self, packet: Packet[Any]) -> None:
        """The next packet of pictures."""
        self._number += 1
        display = self._index.display
        if display is None or self._number >= len(display) or packet.pts is None:
            return
        place = int(display[self._number])
        if place != NOT_SHOWN:
            shown_s = float(self._index.timeline.seconds[place])
            offset = shown_s - packet.pts * float(packet.time_base or 0)
            if abs(offset - self._offsets[-1]) > _SLACK_S:
                self._offsets = [self._offsets[-1], offset]

    def offset(self, time_s: float, newest_s: float) -> float:
        """The one with which sound goes on best.

        Args:
            time_s: of it, on the file's clock.
            newest_s: of what was heard before, on the player's.
        """
        return min(self._offsets, key=lambda offset: abs(time_s + offset - newest_s))


class _Copied:
    """Sound as it is."""

    def __init__(self, stream: AudioStream, output: OutputContainer) -> None:
        self._output = output
        self._stream = output.add_stream_from_template(stream)
        self._newest: int | None = None

    def add(self, packet: Packet[Any], offset_s: float) -> None:
        following = None if self._newest is None else self._newest + 1
        time = following
        if packet.pts is not None and packet.time_base:
            time = packet.pts + round(offset_s / packet.time_base)
        if time is None:
            return
        self._newest = time if following is None else max(following, time)
        packet.pts = packet.dts = self._newest
        packet.stream = self._stream
        try:
            self._output.mux(packet)
        except av.error.InvalidDataError:  # a damaged one, whose headers cannot be read
            return

    def end(self) -> None:
        """Nothing is held back."""


class _Encoded:
    """Sound as AAC, mono or stereo."""

    def __init__(self, stream: AudioStream, output: OutputContainer, end_s: float) -> None:
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in _RATES else _USUAL_RATE
        layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self._output = output
        self._rate, self._layout, self._end_s = rate, layout, end_s
        self._stream: AudioStream = output.add_stream("aac", rate=rate, layout=layout)
        self._stream.codec_context.bit_rate = _BIT_RATE
        self._context = context
        self._resampler = av.AudioResampler("fltp", layout, rate)
        self._position = 0  # samples since zero

    def add(self, packet: Packet[Any], offset_s: float) -> None:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return  # damaged: silence takes its place
        for frame in frames:
            if isinstance(frame, av.AudioFrame):
                self._add_frame(frame, offset_s)

    def end(self) -> None:
        self._output.mux(self._stream.encode(None))

    def _add_frame(self, frame: AudioFrame, offset_s: float) -> None:
        seconds = None
        if frame.pts is not None and frame.time_base is not None:
            seconds = frame.pts * float(frame.time_base) + offset_s
        frame.pts = None
        try:
            pieces = self._resampler.resample(frame)
        except (av.error.FFmpegError, ValueError):  # its layout changed
            self._resampler = av.AudioResampler("fltp", self._layout, self._rate)
            pieces = self._resampler.resample(frame)
        for piece in pieces:
            self._place(piece, None if seconds is None else round(seconds * self._rate))
            seconds = None

    def _place(self, piece: AudioFrame, wanted: int | None) -> None:
        slack = round(_SLACK_S * self._rate)
        if wanted is not None:
            latest = min(self._end_s, self._position / self._rate + _LONGEST_HOLE_S) * self._rate
            if not self._position - slack <= wanted <= latest:
                return
            if wanted > self._position + slack:
                self._fill(wanted - self._position)
        self._write(piece)

    def _fill(self, samples: int) -> None:
        while samples > 0:
            count = min(samples, self._rate)
            channels = 1 if self._layout == "mono" else 2
            silence = np.zeros((channels, count), np.float32)
            self._write(av.AudioFrame.from_ndarray(silence, format="fltp", layout=self._layout))
            samples -= count

    def _write(self, piece: AudioFrame) -> None:
        piece.sample_rate = self._rate
        piece.pts, piece.time_base = self._position, Fraction(1, self._rate)
        self._position += piece.samples
        self._output.mux(self._stream.encode(piece))
