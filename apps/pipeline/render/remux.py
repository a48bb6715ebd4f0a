"""Remux: the coded pictures of a video as they are, in a container that browsers read.

Each picture is shown when the product's clock says, whatever the source's own times are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import av.error
import numpy as np

from apps.pipeline.arrays import IntArray
from apps.pipeline.decode.container import chosen_stream, opened, packets_of
from apps.pipeline.decode.selection import NOT_SHOWN
from apps.pipeline.decode.video import Video
from apps.pipeline.render.encode import CLOCK, ticks
from apps.pipeline.render.sound import SoundPlan, is_of_the_disk, sound_for
from apps.pipeline.render.stretch import Stretch, copied_packets


class CannotCopy(Exception):
    """The pictures of this video must be encoded again."""


@dataclass(frozen=True)
class _Times:
    """Of the packets that are copied, in the file's order.

    Args:
        shown: ticks, by number of the packet; None for one that is left out.
        decoded: ticks of those that are not left out, in turn.
        is_part: all that are left out are of other parts of the video.
    """

    shown: list[int | None]
    decoded: IntArray
    is_part: bool = False


def remux(
    video: Video,
    path: Path,
    ending: Literal["mp4", "webm"],
    sound: SoundPlan,
    *,
    after_frame: Callable[[], None],
    stretch: Stretch | None = None,
) -> None:
    """Copies a video's pictures, and its sound where the container takes it.

    Args:
        video: open; nothing of it is decoded.
        path: where the file is written.
        ending: kind of the container.
        after_frame: called for each picture; may raise to stop.
        stretch: the part that is copied, whose times begin at zero; None for the whole video.

    Raises:
        CannotCopy: it cannot be done; nothing is left.
        OSError: it cannot be written.
    """
    times = _times(video) if stretch is None else _times_of(video, stretch)
    try:
        _copy(video, path, ending, sound, times, after_frame)
    except av.error.FFmpegError as error:
        path.unlink(missing_ok=True)
        if is_of_the_disk(error):
            raise
        raise CannotCopy from error


def _times(video: Video) -> _Times:
    """When each packet is shown and decoded.

    Raises:
        CannotCopy: it is not known which picture a packet holds, or a picture has two packets.
    """
    display = video.index.display
    if display is None:
        raise CannotCopy
    order = display[display != NOT_SHOWN]
    if len(order) == 0 or len(np.unique(order)) != len(order):
        raise CannotCopy
    latest = -1
    by_picture: list[int] = []
    for seconds in video.index.timeline.seconds.tolist():
        latest = max(latest + 1, ticks(seconds))
        by_picture.append(latest)
    shown = [None if place == NOT_SHOWN else by_picture[place] for place in display.tolist()]
    copied = np.array([time for time in shown if time is not None], np.int64)
    return _Times(shown, _decoding_times(copied, max(1, ticks(1 / video.index.fps))))


def _times_of(video: Video, stretch: Stretch) -> _Times:
    """The same of a stretch.

    Raises:
        CannotCopy: its packets hold other pictures too, or need others.
    """
    packets = copied_packets(video.index, stretch)
    if packets is None:
        raise CannotCopy
    whole = _times(video)
    shown: list[int | None] = [None] * len(whole.shown)
    for number in packets:
        time = whole.shown[number]
        shown[number] = None if time is None else time - ticks(stretch.start_s)
    copied = np.array([time for time in shown if time is not None], np.int64)
    step = max(1, ticks(1 / video.index.fps))
    return _Times(shown, _decoding_times(copied, step), is_part=True)


def _decoding_times(shown: IntArray, step: int) -> IntArray:
    """Times that go forward, none behind that at which its picture is shown.

    Args:
        shown: shape (n,), ticks, all different, in coding order.
        step: ticks from one picture to the next.
    """
    ordered = np.sort(shown)
    places = np.searchsorted(ordered, shown)
    delay = max(0, int(np.max(np.arange(len(shown)) - places)))
    before = ordered[0] - step * np.arange(delay, 0, -1)
    decoded: IntArray = np.concatenate((before, ordered))[: len(shown)]
    return decoded


def _copy(
    video: Video,
    path: Path,
    ending: Literal["mp4", "webm"],
    plan: SoundPlan,
    times: _Times,
    after_frame: Callable[[], None],
) -> None:
    name = f"file:{path.resolve()}"
    options = {"movflags": "+faststart"} if ending == "mp4" else {}
    with (
        opened(video.path) as source,
        av.open(name, "w", format=ending, options=options) as container,
        sound_for(video, container, plan) as sound,
    ):
        stream = chosen_stream(source, video.stream)
        # Opaque: of the stream alone. Else PyAV looks for an encoder of the decoder's name.
        copied = container.add_stream_from_template(stream, opaque=True)
        copied.time_base = CLOCK
        turn = 0
        for number, packet in enumerate(packets_of(source, stream)):
            shown = times.shown[number] if number < len(times.shown) else None
            if times.is_part and turn == len(times.decoded):
                break
            if shown is None:
                if not times.is_part and packet.is_discard:
                    raise CannotCopy  # of a cut: it is needed, and not to be shown
                continue
            packet.pts, packet.dts = shown, int(times.decoded[turn])
            packet.duration = 0
            packet.time_base = CLOCK
            packet.stream = copied
            turn += 1
            sound.until(float(shown * CLOCK))
            container.mux(packet)
            after_frame()
        if turn == 0:
            raise CannotCopy
        sound.rest()
