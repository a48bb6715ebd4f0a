"""Decode: a local video file to sampled frames at the detector's size.

Frames have their numbers and times from the index (`index.py`), which is read first; what the
sampled frames do not need is not decoded (`selection.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from apps.common.config import HardwareConfig
from apps.common.contracts.manifest import DecodingFacts, VideoFacts
from apps.common.errors import VideoUnreadable
from apps.pipeline.arrays import BoolArray, ByteArray
from apps.pipeline.decode.container import (
    FileState,
    candidates,
    chosen_stream,
    described,
    opened,
    state_of,
    timecode_of,
)
from apps.pipeline.decode.decoder import Decoded, EndOfSpan, FrameDecoder, nothing
from apps.pipeline.decode.hardware import (
    HardwareFrames,
    HardwareLost,
    accelerator,
    largest_block_difference,
)
from apps.pipeline.decode.index import FrameIndex, read_index
from apps.pipeline.decode.picture import Display, FullPicture, Scalers
from apps.pipeline.decode.selection import Span
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.geometry import Letterbox, fit_into
from apps.pipeline.tone import PQ
from apps.pipeline.types import Frame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


_MAX_UNSEEN = 0.5  # of all pictures; where more cannot be decoded, the file is broken


@dataclass(frozen=True)
class KnownVideo:
    """What was found out about a video file when it was opened; with that it opens at once.

    Args:
        stream: number of the video stream in the file.
        warnings: what is unusual about it.
        ends_early: it ends before all frames that it announces.
        present: see `FrameDecoder`.
    """

    stream: int
    index: FrameIndex
    facts: VideoFacts
    warnings: Sequence[str]
    ends_early: bool
    present: BoolArray | None = None


@dataclass
class Video:
    """An open video. Use `open_video`.

    Attributes:
        warnings: what is unusual about the file, and what was done about it; a sentence each.
        decoding: what decodes, and what was found out about it.
    """

    facts: VideoFacts
    index: FrameIndex
    warnings: list[str]
    _source: _Source
    software: FrameDecoder
    _ends_early: bool
    _device_open: ExitStack
    decoding: DecodingFacts = field(default_factory=DecodingFacts)
    _device: FrameDecoder | None = None  # decodes in place of software
    _between: Callable[[], None] = nothing
    _scalers: Scalers = field(default_factory=Scalers)
    _beside: list[FrameDecoder] = field(default_factory=list)  # that take turns
    _file: FileState | None = None

    @property
    def _decoder(self) -> FrameDecoder:
        return self.software if self._device is None else self._device

    @property
    def _decoders(self) -> list[FrameDecoder]:
        return [self._decoder, *self._beside]

    @property
    def path(self) -> Path:
        """The file."""
        return self._source.path

    @property
    def stream(self) -> int:
        """Number of the video stream in the file."""
        return self._source.stream

    @property
    def known(self) -> KnownVideo:
        """What opens the file again at once; to be asked before anything is decoded."""
        return KnownVideo(
            self.stream, self.index, self.facts, tuple(self.warnings), self._ends_early
        )

    @property
    def damaged_packets(self) -> int:
        """Packets that the decoder refused, so far."""
        return len(set().union(*(decoder.damaged_packets for decoder in self._decoders)))

    @property
    def damaged_groups(self) -> int:
        """Closed groups of pictures that are damaged, so far."""
        return len(set().union(*(decoder.damaged_groups for decoder in self._decoders)))

    @property
    def truncated(self) -> bool:
        """The file ends before all frames that it announces."""
        return self._ends_early or any(decoder.truncated for decoder in self._decoders)

    def frames(self, stride: int, letterbox: Letterbox) -> Iterator[Frame]:
        """Frames 0, stride, 2*stride, ... in display order, scaled into the letterbox.

        Args:
            stride: >= 1.
            letterbox: the detector's picture.

        Raises:
            VideoUnreadable: not one frame could be decoded.
        """
        return (self.scaled(decoded, letterbox) for decoded in self.sampled(stride))

    def sampled(self, stride: int) -> Generator[Decoded]:
        """See `FrameDecoder.sampled`. Where hardware gives up, software goes on."""
        newest = -stride
        if self._device is not None:
            try:
                for decoded in self._device.sampled(stride):
                    if decoded.index > newest + stride:
                        raise HardwareLost("a frame is missing")
                    newest = decoded.index
                    yield decoded
                if newest + stride < self.index.count:
                    raise HardwareLost("its last frames are missing")
            except HardwareLost as lost:
                why = f"{self.decoding.device} was given up after frame {max(0, newest)}: {lost}."
                self._lose_device(why)
            else:
                return
        yield from self.software.sampled(stride, max(-1, newest), self._between)

    @contextmanager
    def sampled_by_turns(
        self, spans: Sequence[Span], decoders: int, stride: int
    ) -> Iterator[list[Iterator[Decoded | EndOfSpan]]]:
        """What `sampled` gives, by further decoders of one thread each; always by software.

        Args:
            spans: one after the other, up to the end of the video; see `short_spans`.
            decoders: how many; each opens the file once.
            stride: see `FrameDecoder.sampled`.

        Returns:
            What each gives: of the spans every so many-th. Each may be asked by another thread.
            None of them, where the video's path leads to another file by now.
        """
        with ExitStack() as files:
            with suppress(VideoUnreadable):
                self._beside = [
                    files.enter_context(self._source.opened(self.index, threads=1))[1]
                    for _ in range(decoders)
                ]
            if self._file is None or state_of(self.path) != self._file:
                self._beside = []
            yield [
                decoder.sampled_by_turns(spans, turn, decoders, stride)
                for turn, decoder in enumerate(self._beside)
            ]

    def sampled_in(self, span: Span, stride: int, left_over: list[Glimpse]) -> Iterator[Decoded]:
        """See `FrameDecoder.sampled_in`; always by software."""
        return self.software.sampled_in(span, stride, left_over)

    def try_hardware(
        self,
        devices: Sequence[str],
        stride: int,
        letterbox: Letterbox,
        config: HardwareConfig,
        between: Callable[[], None] = nothing,
    ) -> None:
        """Takes the first device whose frames are those of software; see `decoding`.

        To be called before anything is decoded.

        Args:
            devices: their names, as FFmpeg has them.
            stride, letterbox: of the run.
            between: called between two frames that nobody else waits for; it may rest, or raise.
        """
        self._between = between
        refused = []
        for device in devices:
            try:
                facts = self._compared(device, min(stride, config.max_stride), letterbox, config)
                self._use_device(device)
            except HardwareLost as lost:
                refused.append(f"{device}: {lost}")
                continue
            self.decoding = facts.model_copy(update={"refused": refused})
            return
        self.decoding = DecodingFacts(refused=refused)

    def _compared(
        self, device: str, stride: int, letterbox: Letterbox, config: HardwareConfig
    ) -> DecodingFacts:
        """Of the first sampled frames, decoded twice.

        Raises:
            HardwareLost: they are not the same.
        """
        worst, count = 0.0, 0
        exact = replace(self._source, fast=False)
        with (
            replace(self._source, device=device).opened(self.index, threads=1) as (_, hard),
            exact.opened(self.index, threads=1) as (_, soft),
        ):
            pairs = itertools.zip_longest(hard.sampled(stride), soft.sampled(stride))
            for one, other in itertools.islice(pairs, config.pictures):
                self._between()
                if one is None or other is None or one.index != other.index:
                    raise HardwareLost("it does not give the same frames as software")
                if one.picture.kind != other.picture.kind:
                    raise HardwareLost("its frames are of another shape or layout than software's")
                images = [self.scaled(each, letterbox).image for each in (one, other)]
                worst = max(worst, largest_block_difference(images[0], images[1]))
                count += 1
            if worst > config.max_difference:
                raise HardwareLost(
                    f"its pictures differ from software's by {worst:.1f} levels of 255"
                )
            return DecodingFacts(
                device=device,
                format=hard.hardware_format,
                pictures=count,
                difference=round(worst, 3),
            )

    def _use_device(self, device: str) -> None:
        source = replace(self._source, device=device)
        _, self._device = self._device_open.enter_context(source.opened(self.index, threads=1))

    def _lose_device(self, why: str) -> None:
        self._device = None
        self._device_open.close()
        self.decoding = self.decoding.model_copy(update={"device": None, "lost": why})

    def scaled(self, decoded: Decoded, letterbox: Letterbox) -> Frame:
        """A frame as a detector wants it. May be called by several threads at once.

        Args:
            letterbox: made for the video's first frame; one of another shape lies otherwise on the
                same canvas.
        """
        picture, place = decoded.picture, letterbox
        if picture.size != (self.facts.width, self.facts.height):
            place = fit_into(*picture.size, letterbox.canvas_width, letterbox.canvas_height)
        return Frame(
            index=decoded.index,
            ts_s=decoded.ts_s,
            image=picture.in_letterbox(place, self._scalers.own),
            letterbox=place,
            picture=picture,
        )

    def decoded(self, stride: int = 1) -> Iterator[Decoded]:
        """See `FrameDecoder.decoded`; always by software."""
        return self.software.decoded(stride)

    def use_threads(self, count: int) -> None:
        """Sets how many threads software has, >= 1; to be called before anything is decoded."""
        self.software.use_threads(count)

    def key_pictures(self, letterbox: Letterbox, seconds: float, count: int) -> Iterator[ByteArray]:
        """Some frames of the video's beginning as a detector wants them; see `FrameDecoder`.

        They are decoded apart, and one by one, so that a minute of video takes milliseconds.

        Args:
            letterbox: whose canvas they are laid into, whatever their shape.
        """
        with self._source.opened(self.index, threads=1) as (_, decoder):
            for picture in decoder.key_pictures(seconds, count):
                place = fit_into(*picture.size, letterbox.canvas_width, letterbox.canvas_height)
                yield picture.in_letterbox(place, self._scalers.own)

    @contextmanager
    def again(self) -> Iterator[Video]:
        """The same video from its start, with a decoder of its own; the index is not read again."""
        with (
            self._source.opened(self.index, threads=1) as (_, decoder),
            ExitStack() as device,
        ):
            again = Video(
                self.facts,
                self.index,
                self.warnings,
                self._source,
                decoder,
                self._ends_early,
                device,
                decoding=self.decoding,
            )
            if self.decoding.device is not None:
                with suppress(HardwareLost):  # a second one of the kind may be one too many
                    again._use_device(self.decoding.device)
            yield again


@dataclass(frozen=True)
class _Source:
    """Where frames come from.

    Args:
        stream: its number in the file.
        fast: see `FrameDecoder`.
        device: that decodes; None for software.
        present: see `FrameDecoder`.
    """

    path: Path
    stream: int
    fast: bool = False
    device: str | None = None
    present: BoolArray | None = None

    @contextmanager
    def opened(
        self, index: FrameIndex, *, threads: int
    ) -> Iterator[tuple[InputContainer, FrameDecoder]]:
        """The file from its start, and a decoder of its stream.

        Raises:
            HardwareLost: the device does not decode it.
        """
        hardware = None if self.device is None else accelerator(self.device)
        frames = None if self.device is None else HardwareFrames()
        fast = self.fast and self.device is None  # no device leaves anything out
        with opened(self.path, hardware) as container:
            stream = chosen_stream(container, self.stream)
            decoder = FrameDecoder(
                container,
                stream,
                index,
                threads,
                fast=fast,
                hardware=frames,
                present=self.present,
            )
            yield container, decoder

    def looked_at(self, index: FrameIndex) -> tuple[FrameIndex, FullPicture]:
        """The index as it is shown, and the first frame that decodes.

        What cannot be decoded in front of the first picture that needs no other, as in a recording
        that begins in the middle of a group, is shown by no player: it is not counted.

        Raises:
            VideoUnreadable: there is no frame.
        """
        with self.opened(index, threads=1) as (container, decoder):
            first = decoder.first_decoded()
            unseen = min(first.index, index.first_start)
            if unseen <= _MAX_UNSEEN * index.count:
                index = index.without_first(unseen)
            return index.on_players_clock(container), first.picture


@contextmanager
def open_video(
    path: Path,
    *,
    threads: int,
    stream: int | None = None,
    fast: bool = False,
    known: KnownVideo | None = None,
) -> Iterator[Video]:
    """Opens a local video file and reads its index.

    Args:
        path: a regular file; URLs, playlists and pipes are refused.
        threads: how many the decoder may use, >= 1.
        stream: number of the video stream in the file; None for the likeliest one.
        fast: leave out what makes pictures prettier, see `FrameDecoder`.
        known: found out when this file was opened before: nothing of it is read now.

    Raises:
        VideoUnreadable: no such file, not a video, no video stream, no frames.
    """
    if known is not None:
        source = _Source(path, known.stream, fast, present=known.present)
        with source.opened(known.index, threads=threads) as (_, decoder), ExitStack() as device:
            yield Video(
                known.facts,
                known.index,
                list(known.warnings),
                source,
                decoder,
                known.ends_early,
                device,
                _file=state_of(path),
            )
        return
    source, index, first, passed_over = _first_that_decodes(path, stream)
    source = replace(source, fast=fast)
    with (
        source.opened(index, threads=threads) as (container, decoder),
        ExitStack() as device,
    ):
        chosen = chosen_stream(container, source.stream)
        yield Video(
            _facts(container, chosen, index, first),
            index,
            [*passed_over, *index.warnings()],
            source,
            decoder,
            _ends_early(container, chosen, index),
            device,
            _file=state_of(path),
        )


def _ends_early(container: InputContainer, stream: VideoStream, index: FrameIndex) -> bool:
    """Whether the file ends in the middle.

    Args:
        container: nothing is read of it yet.
    """
    match container.format.name:
        case "mov,mp4,m4a,3gp,3g2,mj2":
            return stream.frames > index.packets
        case "avi":  # empty slots may stand at the end; its list of packets is behind the last one
            return stream.frames > index.slots and len(stream.index_entries) < index.packets
        case _:
            return False


def _first_that_decodes(
    path: Path, stream: int | None
) -> tuple[_Source, FrameIndex, FullPicture, list[str]]:
    """Of the streams that may be the film, or of the one that is asked for.

    Returns:
        With the index, the first frame, and what is to be said of the streams before it.
    """
    numbers = [] if stream is None else [stream]
    problems: list[VideoUnreadable] = []
    while True:
        try:
            with opened(path) as container:
                numbers = numbers or candidates(container)
                source = _Source(path, numbers[len(problems)])
                index = read_index(container, chosen_stream(container, source.stream))
            index, first = source.looked_at(index)
        except VideoUnreadable as problem:
            problems.append(problem)
            if len(problems) >= len(numbers):
                raise problems[0] from None
        else:
            passed_over = [
                f"Video stream {number} was passed over: {problem.detail}"
                for number, problem in zip(numbers, problems, strict=False)
            ]
            return source, index, first, passed_over


@contextmanager
def opened_stream(path: Path) -> Iterator[tuple[InputContainer, VideoStream, Display]]:
    """A video file and its pictures, without an index: for a look at single frames, by one thread.

    Raises:
        VideoUnreadable: as `open_video`, but for a file whose packets all are damaged.
    """
    with opened(path) as container:
        stream = chosen_stream(container, candidates(container)[0])
        stream.codec_context.thread_type = "NONE"
        yield container, stream, Display(stream)


def _facts(
    container: InputContainer,
    stream: VideoStream,
    index: FrameIndex,
    first: FullPicture,
) -> VideoFacts:
    width, height = first.size
    return VideoFacts(
        width=width,
        height=height,
        coded_width=first.frame.width,
        coded_height=first.frame.height,
        rotation=first.orientation.degrees,
        mirrored=first.orientation.mirrored,
        sample_aspect_ratio=round(first.sample_aspect_ratio, 6),
        fps=index.fps,
        variable_frame_rate=index.timeline.is_irregular(),
        frames=index.count,
        start_s=round(float(index.timeline.seconds[0]), 6),
        timecode=timecode_of(container, stream),
        duration_s=round(index.end_s - float(index.timeline.seconds[0]), 3),
        codec=stream.codec_context.codec.canonical_name,
        container=container.format.name,
        stream=stream.index,
        streams=[described(other) for other in container.streams.video],
        transfer="sdr" if first.tone is None else "pq" if first.tone.transfer == PQ else "hlg",
    )
