"""Files from real life: the right frames, at the right times, whatever the file is like.

What is right is what a full decode by FFmpeg shows, picture by picture, and the times that the test
itself gave to its pictures.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.packet import PacketSideData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.common.errors import VideoUnreadable
from apps.pipeline.decode import Video, open_video
from apps.pipeline.geometry import fit
from tests.pipeline.coded import (
    FRAME,
    H264_B,
    H264_OPEN,
    H264_P,
    HEVC_B,
    HEVC_OPEN,
    MJPEG,
    MPEG2,
    MPEG4_ASP,
    VP8,
    VP9,
    Coded,
    Coding,
    coded,
    remuxed,
    to_container,
    to_raw,
    to_ts,
)
from tests.pipeline.field_pictures import CodedPicture, Kind, coded_pictures
from tests.pipeline.transport import CLOCK, Unit, write_ts
from tests.pipeline.videos import (
    H264,
    Image,
    Recipe,
    corner_names,
    corners,
    numbered,
    read_number,
    write_numbered,
    write_video,
)

NEW_EXTRADATA = 1  # FFmpeg's number of that kind of side data
WRAP = 1 << 33  # of a transport stream's clock, ticks


def files(count: int) -> settings:
    """So many of a kind: the same ones everywhere, or others each time with HYPOTHESIS_ANEW=1."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=os.environ.get("HYPOTHESIS_ANEW") != "1",
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


# --- how a file is looked at --------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the product makes of a file: of each sampled frame its number in display order, the
    number that its picture shows, its time, and a digest of its stored picture."""

    frames: int
    fps: float
    indices: list[int]
    numbers: list[int | None]
    seconds: list[float]
    digests: list[str]
    warnings: list[str]
    damaged: int


def see(path: Path, stride: int = 1, threads: int = 1) -> Seen:
    with open_video(path, threads=threads) as video:
        found = list(video.sampled(stride))
        return Seen(
            video.facts.frames,
            video.facts.fps,
            [item.index for item in found],
            [read_number(item.picture.pixels()) for item in found],
            [item.ts_s for item in found],
            [digest(item.picture.frame) for item in found],
            video.warnings,
            video.damaged_packets,
        )


def digest(frame: av.VideoFrame) -> str:
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def shown_by_ffmpeg(path: Path) -> list[str]:
    """Digests of all pictures, in the order in which FFmpeg shows them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        return [digest(frame) for frame in container.decode(stream)]


def check(
    path: Path,
    stride: int,
    threads: int,
    times: dict[int, float] | None = None,
    *,
    tolerance: float = 1.5e-3,
) -> Seen:
    """Compares with a full decode, and with the time of each number, from the first one's on."""
    reference = shown_by_ffmpeg(path)
    seen = see(path, stride, threads)
    assert seen.frames == len(reference)
    assert seen.indices == list(range(0, len(reference), stride))
    assert seen.digests == reference[::stride]
    assert seen.damaged == 0
    assert all(
        before <= after for before, after in zip(seen.seconds, seen.seconds[1:], strict=False)
    )
    if times is not None:
        first = see(path).numbers[0]
        assert first is not None
        expected = [times[number] - times[first] for number in seen.numbers if number is not None]
        assert len(expected) == len(seen.seconds)
        offset = see(path).seconds[0]
        assert [s - offset for s in seen.seconds] == pytest.approx(expected, abs=tolerance)
    return seen


# --- fields ---------------------------------------------------------------------------------------

FIELD_CONTAINERS = ["frame.ts", "own.ts", "equal.ts", "none.ts", "raw.h264", "a.mkv", "a.mp4"]


def write_fields(path: Path, pictures: Sequence[CodedPicture]) -> Path:
    """As the file's name says: one PES packet a frame, or one a field with its own, an equal or no
    time; or one packet a field in another container."""
    raw = b"".join(b"".join(picture.parts) for picture in pictures)
    if path.suffix == ".h264":
        path.write_bytes(raw)
        return path
    times = [
        ((picture.number + 1) * FRAME, place * FRAME) for place, picture in enumerate(pictures)
    ]
    if path.suffix != ".ts":
        source = path.with_suffix(".h264")
        source.write_bytes(raw)
        own = [
            (pts + FRAME // 2 * field, dts + FRAME // 2 * field)
            for (pts, dts), picture in zip(times, pictures, strict=True)
            for field in range(len(picture.parts))
        ]
        return remuxed(source, path, own)
    units = []
    for (pts, dts), picture in zip(times, pictures, strict=True):
        pts, dts = pts + 10 * CLOCK, dts + 10 * CLOCK
        if path.stem == "frame":
            units.append(Unit(b"".join(picture.parts), pts, dts))
            continue
        units.append(Unit(picture.parts[0], pts, dts))
        later = FRAME // 2 if path.stem == "own" else 0
        second = (None, None) if path.stem == "none" else (pts + later, dts + later)
        units += [Unit(part, *second) for part in picture.parts[1:]]
    return write_ts(path, units)


def pairwise_order(count: int) -> list[int]:
    """Every other picture is coded before the one that it is shown after: 0 2 1 4 3 ..."""
    order = [0]
    for number in range(1, count - 1, 2):
        order += [number + 1, number]
    return order if len(order) == count else [*order, count - 1]


@pytest.mark.trap(42)
@files(70)
@given(
    kinds=st.lists(
        st.sampled_from([Kind.REFERENCES, Kind.WITH_P, Kind.NON_REFERENCES, Kind.FRAME]),
        min_size=9,
        max_size=24,
    ),
    is_reordered=st.booleans(),
    is_bottom_first=st.booleans(),
    name=st.sampled_from(FIELD_CONTAINERS),
    stride=st.integers(1, 13),
    threads=st.integers(1, 2),
)
def test_any_pictures_of_two_fields(
    tmp_path: Path,
    kinds: list[Kind],
    is_reordered: bool,
    is_bottom_first: bool,
    name: str,
    stride: int,
    threads: int,
) -> None:
    first = kinds[0] if kinds[0] is not Kind.NON_REFERENCES else Kind.REFERENCES
    order = None
    if is_reordered:  # what is coded out of order must not be referred to
        order = pairwise_order(len(kinds))
        kinds = [
            Kind.NON_REFERENCES if place % 2 == 0 else kind for place, kind in enumerate(kinds)
        ]
    pictures = coded_pictures([first, *kinds[1:]], order, is_bottom_first=is_bottom_first)
    path = write_fields(tmp_path / name, pictures)
    times = {number: number / 25 for number in range(len(kinds))}
    check(path, stride, threads, times)


@pytest.mark.parametrize("name", FIELD_CONTAINERS)
def test_a_hundred_interlaced_pictures_are_a_hundred(tmp_path: Path, name: str) -> None:
    kinds = [Kind.REFERENCES, *[Kind.NON_REFERENCES] * 9]
    pictures = coded_pictures(kinds * 10)
    path = write_fields(tmp_path / name, pictures)
    seen = see(path, 3)
    assert seen.frames == 100
    assert seen.fps == pytest.approx(25)
    assert seen.numbers == list(range(0, 100, 3))
    assert seen.warnings == []


@pytest.mark.parametrize("name", ["raw.h264", "own.ts", "a.mkv"])
def test_fields_of_mixed_kinds_are_shown_as_ffmpeg_shows_them(tmp_path: Path, name: str) -> None:
    """It refuses to join a field that is referred to with one that is not; both are not shown until
    it gives up waiting. Then it gives each picture twice."""
    kinds = [Kind.REFERENCES, *[Kind.MIXED, Kind.REFERENCES] * 6, *[Kind.MIXED] * 8]
    path = write_fields(tmp_path / name, coded_pictures(kinds))
    reference = list(dict.fromkeys(shown_by_ffmpeg(path)))
    for stride in (1, 2, 5):
        seen = see(path, stride)
        assert seen.frames == len(reference) < len(kinds)
        assert seen.digests == reference[::stride]


def test_a_field_that_lost_its_other_one_is_not_shown(tmp_path: Path) -> None:
    pictures = coded_pictures([Kind.REFERENCES] * 20)
    pictures[7] = replace(pictures[7], parts=pictures[7].parts[:1])
    path = write_fields(tmp_path / "own.ts", pictures)
    seen = check(path, 1, 1, {number: number / 25 for number in range(20)})
    assert seen.numbers == [number for number in range(20) if number != 7]


# --- clocks ---------------------------------------------------------------------------------------

CLOCKED = [H264_B, H264_OPEN, H264_P, HEVC_B, HEVC_OPEN, MPEG2]
SECOND_CLOCKS = {
    "a minute and a half lower": -90 * CLOCK,
    "half a minute lower": -30 * CLOCK,
    "the same again": 0,
    "overlapping": 15 * FRAME,
    "overlapping a little": 28 * FRAME,
    "later": 87 * CLOCK,
    "an hour later": 3600 * CLOCK,
}


@cache
def piece(coding: Coding, first: int, count: int) -> tuple[Coded, ...]:
    return tuple(coded(coding, range(first, first + count)))


@dataclass
class Recording:
    """Packets, and when the picture of each number is shown.

    Args:
        times: seconds.
        clock: of the first picture of its newest part, ticks.
    """

    packets: list[Coded]
    times: dict[int, float]
    coding: Coding
    clock: int


Fault = Callable[[Recording, random.Random], None]


def join(recording: Recording, rng: random.Random) -> None:
    """Another recording behind it, with a clock of its own."""
    first = len(recording.times)
    clocks = set(SECOND_CLOCKS)
    if any(packet.pts is None for packet in recording.packets):
        clocks.remove("overlapping a little")  # where times are lost as well, nobody can tell
    recording.clock += SECOND_CLOCKS[rng.choice(sorted(clocks))]
    more = piece(recording.coding, first, 30)
    recording.packets += [packet.later(recording.clock) for packet in more]
    recording.times |= {first + n: recording.times[first - 1] + (n + 1) / 25 for n in range(30)}


def lose_times(recording: Recording, rng: random.Random) -> None:
    """Not of the last ones: there, FFmpeg makes up times from what another clock says next."""
    places = range(1, len(recording.packets) - 6)
    for place in rng.sample(places, rng.choice([1, 2, 5, len(places) // 2])):
        recording.packets[place] = recording.packets[place].at(None, None)


def lose_all_but_keys(recording: Recording, rng: random.Random) -> None:
    last = len(recording.packets) - 6
    recording.packets = [
        packet if packet.is_key or place >= last else packet.at(None, None)
        for place, packet in enumerate(recording.packets)
    ]


def spoil_a_time(recording: Recording, rng: random.Random) -> None:
    place = rng.randrange(1, len(recording.packets) - 6)
    wrong = rng.choice([-100, -3, 5, 100]) * CLOCK
    recording.packets[place] = recording.packets[place].later(wrong)


FAULTS: dict[str, Fault] = {
    "no fault": lambda *_: None,
    "times lost": lose_times,
    "times of keys only": lose_all_but_keys,
    "a wrong time": spoil_a_time,
}


@pytest.mark.trap(43)
@files(120)
@given(
    coding=st.sampled_from(CLOCKED),
    start=st.sampled_from([0, 10 * CLOCK, 100 * CLOCK, WRAP - FRAME * 20]),
    fault=st.sampled_from(sorted(FAULTS)),
    joins=st.integers(0, 2),
    seed=st.integers(0, 10_000),
    stride=st.integers(1, 14),
    threads=st.integers(1, 2),
)
def test_any_clock_of_a_recording(
    tmp_path: Path,
    coding: Coding,
    start: int,
    fault: str,
    joins: int,
    seed: int,
    stride: int,
    threads: int,
) -> None:
    recording = Recording(
        [packet.later(start) for packet in piece(coding, 0, 30)],
        {number: number / 25 for number in range(30)},
        coding,
        start,
    )
    rng = random.Random(seed)
    FAULTS[fault](recording, rng)
    for _ in range(joins):
        join(recording, rng)
    check(to_ts(tmp_path / "a.ts", recording.packets, coding), stride, threads, recording.times)


@pytest.mark.parametrize("coding", CLOCKED, ids=lambda coding: coding.name)
@pytest.mark.parametrize("clock", SECOND_CLOCKS)
def test_a_second_recording_goes_on_from_the_first(
    tmp_path: Path, coding: Coding, clock: str
) -> None:
    start = 100 * CLOCK
    packets = [
        *(packet.later(start) for packet in piece(coding, 0, 30)),
        *(packet.later(start + SECOND_CLOCKS[clock]) for packet in piece(coding, 30, 30)),
    ]
    path = to_ts(tmp_path / "a.ts", packets, coding)
    seen = check(path, 1, 1, {number: number / 25 for number in range(60)})
    assert seen.numbers == list(range(60))
    assert seen.fps == pytest.approx(25)
    (warning,) = seen.warnings
    assert "clock goes back or leaps: 1 (first at frame 30, 1.20 s)" in warning


@pytest.mark.parametrize("seconds", [2, 20])
def test_a_loss_of_signal_keeps_its_length(tmp_path: Path, seconds: int) -> None:
    """The clock goes on, so nothing is repaired, and the frame rate is that of the pictures."""
    packets = [
        packet.later(10 * CLOCK + (seconds * CLOCK if (packet.pts or 0) >= 36 * FRAME else 0))
        for packet in piece(H264_B, 0, 60)
    ]
    seen = check(
        to_ts(tmp_path / "a.ts", packets),
        1,
        1,
        {number: number / 25 + (seconds if number >= 36 else 0) for number in range(60)},
    )
    assert seen.warnings == []
    assert seen.fps == pytest.approx(25)


@pytest.mark.parametrize("coding", [H264_P, H264_B], ids=["p", "b"])
def test_two_equal_times_leave_all_others_alone(tmp_path: Path, coding: Coding) -> None:
    """Flash video stores milliseconds, and some writers give two pictures the same."""
    packets = list(piece(coding, 0, 40))
    place = next(n for n, packet in enumerate(packets) if packet.pts == 24 * FRAME)
    packets[place] = packets[place].at(25 * FRAME, packets[place].dts)
    seen = see(to_container(tmp_path / "a.flv", packets, coding))
    assert seen.numbers == list(range(40))
    times = [number / 25 for number in range(40)]
    times[24] = times[25]
    assert [s - seen.seconds[0] for s in seen.seconds] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("cut", [3, 5, 11])
@pytest.mark.parametrize("coding", CLOCKED, ids=lambda coding: coding.name)
def test_a_recording_that_begins_in_the_middle(tmp_path: Path, coding: Coding, cut: int) -> None:
    """What cannot be decoded at its start is shown by no player; it is not counted as missing."""
    packets = [packet.later(10 * CLOCK) for packet in piece(coding, 0, 60)]
    for path in (
        to_ts(tmp_path / "a.ts", packets[cut:], coding),
        to_raw(tmp_path / f"a.{coding.name.removesuffix('video')}", packets[cut:]),
    ):
        for stride in (1, 5):
            seen = check(path, stride, 1)
            assert seen.seconds[0] == 0
            assert seen.warnings == []


@pytest.mark.parametrize(("early", "first"), [(0.5, 0.5), (0.0, 0.0), (-0.2, 0.0), (60.0, 0.0)])
def test_sound_that_begins_before_the_pictures(tmp_path: Path, early: float, first: float) -> None:
    """A player's zero is the first thing that it plays; a sound a minute away has another clock."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        packets = []
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            packet.pts += round((100 + early) * 25)
            packet.dts += round((100 + early) * 25)
        for block in range(20):
            quiet = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            quiet.sample_rate, quiet.time_base = 48_000, Fraction(1, 48_000)
            quiet.pts = 100 * 48_000 + 1024 * block
            packets += sound.encode(quiet)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    seconds = see(path).seconds
    assert seconds == pytest.approx([first + number / 25 for number in range(20)], abs=0.03)


def test_a_raw_file_has_the_rate_that_its_pictures_say(tmp_path: Path) -> None:
    recipe = Recipe(fps=50, options={"preset": "ultrafast", "bf": "2"})
    seen = see(write_numbered(tmp_path / "a.h264", 50, recipe))
    assert seen.fps == pytest.approx(50)
    assert seen.numbers == list(range(50))
    assert seen.seconds == pytest.approx([number / 50 for number in range(50)])


def test_no_time_is_minus_zero(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.ts", "a.flv", "a.avi"):
        seen = see(write_numbered(tmp_path / name, 5))
        assert str(seen.seconds[0]) == "0.0"


# --- containers -----------------------------------------------------------------------------------

HOLD: dict[str, list[Coding]] = {
    "mp4": [H264_B, HEVC_B, MPEG4_ASP, VP9],
    "mov": [H264_OPEN, MPEG4_ASP, MJPEG],
    "mkv": [H264_B, H264_OPEN, HEVC_B, MPEG2, MPEG4_ASP, VP8, VP9, MJPEG],
    "webm": [VP8, VP9],
    "avi": [H264_B, H264_P, MPEG4_ASP, MPEG2, MJPEG],
    "flv": [H264_B, H264_P],
    "nut": [H264_B, MPEG4_ASP, VP8],
    "ivf": [VP8, VP9],
    "mpg": [MPEG2],
    "wtv": [MPEG2, H264_B],
    "mxf": [MPEG2],
}
PAIRS = [(name, coding) for name, codings in HOLD.items() for coding in codings]


@files(60)
@given(
    pair=st.sampled_from(PAIRS),
    count=st.integers(20, 60),
    stride=st.integers(1, 14),
    threads=st.integers(1, 2),
)
def test_any_codec_in_any_container(
    tmp_path: Path, pair: tuple[str, Coding], count: int, stride: int, threads: int
) -> None:
    name, coding = pair
    path = to_container(tmp_path / f"a.{name}", piece(coding, 0, count), coding)
    times = {number: number / 25 for number in range(count)}
    check(path, stride, threads, times)


@files(30)
@given(
    coding=st.sampled_from([H264_B, H264_P, MPEG4_ASP, MJPEG]),
    # What is left out behind the last pictures that are held back, the file does not tell.
    left_out=st.sets(st.integers(1, 55), max_size=30),
    stride=st.integers(1, 9),
    threads=st.integers(1, 2),
)
def test_any_empty_slots_of_avi(
    tmp_path: Path, coding: Coding, left_out: set[int], stride: int, threads: int
) -> None:
    kept = [number for number in range(60) if number not in left_out]
    recipe = Recipe(
        coding.encoder,
        options=coding.options,
        pix_fmt=coding.pix_fmt,
        times=[Fraction(number, 25) for number in kept],
    )
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(coding.encoder, rate=25)
        stream.height, stream.width = numbered(0).shape[:2]
        stream.pix_fmt, stream.codec_context.options = coding.pix_fmt, dict(recipe.options)
        for number in kept:
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    check(path, stride, threads, {number: number / 25 for number in kept})
    with open_video(path, threads=1) as video:
        assert not video.truncated
        assert video.facts.fps == pytest.approx(25)


@pytest.mark.trap(42)
@pytest.mark.parametrize("name", ["webm", "ivf", "mkv"])
def test_vp8_frames_that_are_never_shown_are_not_counted(tmp_path: Path, name: str) -> None:
    """As alternate references are; here frames of which the bit "shown" is taken away."""
    packets = list(piece(VP8, 0, 60))
    hidden = {5, 6, 20, 41, 59}
    for number in hidden:
        data = bytearray(packets[number].data)
        data[0] &= ~0x10
        packets[number] = replace(packets[number], data=bytes(data))
    path = to_container(tmp_path / f"a.{name}", packets, VP8)
    for stride in (1, 3, 7):
        seen = check(path, stride, 1, {number: number / 25 for number in range(60)})
        assert seen.frames == 60 - len(hidden)
        assert not hidden & set(seen.numbers)
    with open_video(path, threads=1) as video:
        assert not video.truncated


NOT_CODED = bytes.fromhex("000001b6504f")  # a P picture at time 0 of 5 bits: "not coded", stuffing
DIVX = b"\0\0\1\xb2DivX503b1393p"


def packed(count: int) -> list[bytes]:
    """As DivX does it: a B picture behind its reference, and a placeholder where it belongs."""
    coding = replace(MPEG4_ASP, options={"b": "3M", "bf": "1", "b_strategy": "0", "g": "12"})
    pictures = [packet.data for packet in coded(coding, range(count))]
    packets: list[bytes] = []
    for data in pictures:
        if data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2:  # a B picture
            packets[-1] += data
            packets.append(NOT_CODED)
        else:
            packets.append(data)
    start = packets[0].index(b"\0\0\1\xb6")
    packets[0] = packets[0][:start] + DIVX + packets[0][start:]
    return packets


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_two_pictures_in_a_packet_of_divx(tmp_path: Path, name: str, stride: int) -> None:
    """Copied to Matroska, they have the times of the order in which they are coded."""
    packets = [
        Coded(data, place * FRAME, place * FRAME, is_key=False)
        for place, data in enumerate(packed(41))
    ]
    assert len(packets) == 41
    path = to_container(tmp_path / name, packets, MPEG4_ASP)
    seen = check(path, stride, 1, {number: number / 25 for number in range(41)})
    assert seen.numbers == list(range(0, 41, stride))


def test_pictures_that_an_mpeg4_encoder_left_out(tmp_path: Path) -> None:
    coding = replace(MPEG4_ASP, options={"b": "3M", "bf": "0", "g": "12"})
    pictures = [packet.data for packet in coded(coding, range(30))]
    data = [*pictures[:10], NOT_CODED, NOT_CODED, *pictures[10:]]
    packets = [Coded(d, n * FRAME, n * FRAME, is_key=False) for n, d in enumerate(data)]
    path = to_container(tmp_path / "a.avi", packets, coding)
    times = {number: (number + 2 * (number >= 10)) / 25 for number in range(30)}
    assert check(path, 1, 1, times).frames == 30


@pytest.mark.parametrize(
    ("name", "recipe", "size"),
    [
        ("a.dv", Recipe("dvvideo"), (720, 576)),
        ("a.wtv", Recipe("mpeg2video", options={"b": "2M", "bf": "2"}), (128, 64)),
        ("a.rm", Recipe("rv20", options={"b": "1M"}), (128, 64)),
        ("a.mjpeg", Recipe("mjpeg", pix_fmt="yuvj420p"), (128, 64)),
        ("a.nut", H264, (128, 64)),
        (
            "a.obu",
            Recipe("libsvtav1", options={"preset": "10", "svtav1-params": "lp=1"}),
            (128, 64),
        ),
        ("a.apng", Recipe("apng", pix_fmt="rgb24"), (128, 64)),
        ("a.gxf", Recipe("mpeg2video", options={"b": "4M", "bf": "0"}), (720, 576)),
        ("a.vob", Recipe("mpeg2video", options={"b": "2M", "bf": "2"}), (128, 64)),
        ("a.gif", Recipe("gif", pix_fmt="rgb8"), (128, 64)),
    ],
)
def test_formats_of_captures_and_discs(
    tmp_path: Path, name: str, recipe: Recipe, size: tuple[int, int]
) -> None:
    factor = (size[1] // 64, size[0] // 128)
    small = (numbered(number) for number in range(30))
    pictures = (
        np.pad(
            np.kron(picture, np.ones((*factor, 1), np.uint8)),
            ((0, size[1] - 64 * factor[0]), (0, size[0] - 128 * factor[1]), (0, 0)),
        )
        for picture in small
    )
    path = write_video(tmp_path / name, pictures, recipe)
    for stride in (1, 4):
        seen = check(path, stride, 1)
        assert seen.frames == 30
        assert seen.seconds == pytest.approx([n / 25 for n in range(0, 30, stride)], abs=0.021)


# --- another sequence in the middle ---------------------------------------------------------------

SHAPES: list[tuple[tuple[int, int], Fraction | None]] = [
    ((128, 64), None),
    ((256, 128), None),
    ((96, 64), None),
    ((96, 96), Fraction(4, 3)),
    ((128, 64), Fraction(4, 3)),
    ((64, 128), None),
]


@pytest.mark.trap(45)
@files(40)
@given(
    coding=st.sampled_from([H264_B, HEVC_B, MPEG2, MJPEG, MPEG4_ASP]),
    shapes=st.lists(st.sampled_from(SHAPES), min_size=2, max_size=3),
    stride=st.integers(1, 14),
    threads=st.integers(1, 2),
)
def test_any_change_of_shape(
    tmp_path: Path,
    coding: Coding,
    shapes: list[tuple[tuple[int, int], Fraction | None]],
    stride: int,
    threads: int,
) -> None:
    """FFmpeg's MPEG decoders lose a picture where the size changes; the product does not."""
    packets: list[Coded] = []
    if coding is MJPEG:  # a picture that names no shape of its pixels has that of the one before
        shapes = [(size, ratio or Fraction(1)) for size, ratio in shapes]
    for number, (size, ratio) in enumerate(shapes):
        numbers = range(25 * number, 25 * number + 25)
        start = 10 * CLOCK + 25 * number * FRAME
        packets += coded(coding, numbers, start, size=size, sample_aspect_ratio=ratio)
    is_stream = coding.name in ("h264", "hevc", "mpeg2video")
    if is_stream:
        path = to_ts(tmp_path / "a.ts", packets, coding)
    else:
        path = to_raw(tmp_path / ("a.m4v" if coding is MPEG4_ASP else "a.mjpeg"), packets)
    count = 25 * len(shapes)
    with open_video(path, threads=threads) as video:
        box = fit(video.facts.width, video.facts.height, 640)
        items = list(video.sampled(stride))
        frames = [video.scaled(item, box) for item in items]
        assert video.damaged_packets == 0
    assert [item.index for item in items] == list(range(0, count, stride))
    assert [read_number(item.picture.pixels()) for item in items] == list(range(0, count, stride))
    assert [item.ts_s for item in items] == pytest.approx([i / 25 for i in range(0, count, stride)])
    for item, frame in zip(items, frames, strict=True):
        (width, height), ratio = shapes[item.index // 25]
        shown = width * float(ratio or 1) / height
        if coding is not MPEG2:  # it knows four shapes of the whole picture, not of a pixel
            assert item.picture.size == (round(width * float(ratio or 1)), height)
            inner = frame.letterbox
            slack = 1.5 / min(inner.inner_width, inner.inner_height)
            assert inner.inner_width / inner.inner_height == pytest.approx(shown, rel=slack)


HEADERS = {"h264": (7, 8), "hevc": (32, 33, 34), "mpeg2video": (0xB3, 0xB5)}


def units_of(data: bytes) -> list[bytes]:
    starts = [n for n in range(len(data) - 3) if data[n : n + 3] == b"\0\0\1"]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def is_header(unit: bytes, codec: str) -> bool:
    kind = {"h264": unit[3] & 0x1F, "hevc": unit[3] >> 1 & 0x3F}.get(codec, unit[3])
    if codec == "mpeg2video" and kind == 0xB5:
        return unit[4] >> 4 == 1  # of the sequence, not of a picture
    return kind in HEADERS[codec]


def without_headers(packet: Coded, codec: str) -> Coded:
    kept = b"".join(unit for unit in units_of(packet.data) if not is_header(unit, codec))
    return replace(packet, data=kept)


OTHERWISE: dict[str, dict[str, str]] = {
    "h264": {"preset": "faster", "refs": "4", "x264-params": "cabac=0:sps-id=1"},
    "hevc": {
        "x265-params": "log-level=none:bframes=3:keyint=12:scenecut=0:open-gop=0:ref=4:ctu=16"
    },
    "mpeg2video": {"intra_matrix": ",".join(["8"] + ["20"] * 63)},
}


@pytest.mark.trap(44)
@pytest.mark.parametrize("stride", [1, 5, 13, 25, 41])
@pytest.mark.parametrize("coding", [H264_B, HEVC_B, MPEG2], ids=lambda coding: coding.name)
def test_parameters_that_come_once_are_not_skipped(
    tmp_path: Path, coding: Coding, stride: int
) -> None:
    """New ones at frame 30, and none after: also where no frame of that group is sampled."""
    other = replace(coding, options={**coding.options, **OTHERWISE[coding.name]})
    first = list(piece(coding, 0, 30))
    second = [p.later(30 * FRAME) for p in piece(other, 30, 40)]
    second = [second[0], *(without_headers(packet, coding.name) for packet in second[1:])]
    path = to_ts(tmp_path / "a.ts", [p.later(CLOCK) for p in first + second], coding)
    seen = check(path, stride, 1, {number: number / 25 for number in range(70)})
    assert seen.numbers == list(range(0, 70, stride))


@pytest.mark.trap(44)
@pytest.mark.parametrize("ahead", [1, 2, 4])
@pytest.mark.parametrize("stride", [4, 13, 31])
def test_parameters_that_come_in_a_packet_that_nobody_needs(
    tmp_path: Path, ahead: int, stride: int
) -> None:
    other = replace(H264_B, options={**H264_B.options, **OTHERWISE["h264"]})
    first = list(piece(H264_B, 0, 30))
    second = [p.later(30 * FRAME) for p in piece(other, 30, 40)]
    headers = b"".join(u for u in units_of(second[0].data) if is_header(u, "h264"))
    first[-ahead] = replace(first[-ahead], data=headers + first[-ahead].data)
    second = [without_headers(packet, "h264") for packet in second]
    path = to_ts(tmp_path / "a.ts", [p.later(CLOCK) for p in first + second])
    check(path, stride, 2, {number: number / 25 for number in range(70)})


def read_mp4(path: Path) -> tuple[bytes, list[Coded]]:
    """Extradata, and packets without start codes."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        unit = (stream.time_base or 1) * CLOCK
        packets = [
            Coded(bytes(p), round(p.pts * unit), round(p.dts * unit), p.is_keyframe)
            for p in container.demux(stream)
            if p.size > 0
        ]
        return stream.codec_context.extradata or b"", packets


@pytest.mark.trap(44)
@pytest.mark.parametrize("stride", [1, 7, 31, 41])
def test_a_second_sample_description(tmp_path: Path, stride: int) -> None:
    """An MP4 of which the container, not the coded data, carries other parameters midway."""
    shapes = [(128, 64), (192, 96)]
    pieces = [
        to_container(
            tmp_path / f"{number}.mp4",
            coded(H264_B, range(30 * number, 30 * number + 30), size=size),
            H264_B,
            size=size,
        )
        for number, size in enumerate(shapes)
    ]
    path = tmp_path / "a.mp4"
    with av.open(str(pieces[0])) as first, av.open(str(path), "w") as container:
        out = container.add_stream_from_template(first.streams.video[0])
        for number, (extradata, packets) in enumerate(read_mp4(piece) for piece in pieces):
            for place, part in enumerate(packets):
                packet = av.Packet(part.data)
                packet.pts = (part.pts or 0) + 30 * FRAME * number
                packet.dts = (part.dts or 0) + 30 * FRAME * number
                packet.time_base, packet.is_keyframe = Fraction(1, CLOCK), part.is_key
                packet.stream = out
                if number == 1 and place == 0:
                    changed = PacketSideData(NEW_EXTRADATA, len(extradata))
                    changed.update(extradata)
                    packet.set_sidedata(changed)
                container.mux(packet)
    seen = check(path, stride, 1, {number: number / 25 for number in range(60)})
    assert seen.numbers == list(range(0, 60, stride))
    with open_video(path, threads=1) as video:
        sizes = [item.picture.size for item in video.sampled(30)]
    assert sizes == shapes


# --- orientation ----------------------------------------------------------------------------------


def shown_by_matrix(image: Image, matrix: Sequence[int]) -> Image:
    """Pixel by pixel, as the matrix says it (ISO/IEC 14496-12, 6.2.2)."""
    a, b, c, d = (round(matrix[place] / 65536) for place in (0, 1, 3, 4))
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    shown = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    shown[down, right] = image
    return shown


MATRICES = {
    "upright": (1, 0, 0, 1),
    "hflip": (-1, 0, 0, 1),
    "vflip": (1, 0, 0, -1),
    "half turn": (-1, 0, 0, -1),
    "clockwise": (0, 1, -1, 0),
    "counterclockwise": (0, -1, 1, 0),
    "transpose": (0, 1, 1, 0),
    "transverse": (0, -1, -1, 0),
}
QUARTERS = [(0.02, 0.02), (0.52, 0.02), (0.02, 0.52), (0.52, 0.52)]


@pytest.mark.parametrize("kind", MATRICES)
def test_pictures_are_turned_and_mirrored_as_their_matrix_says(tmp_path: Path, kind: str) -> None:
    a, b, c, d = MATRICES[kind]
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"
        stream.set_display_matrix(matrix)
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(corners(192, 96), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected = shown_by_matrix(corners(192, 96), matrix)[:, :, ::-1]
    names = corner_names(np.ascontiguousarray(expected))
    with open_video(path, threads=1) as video:
        assert (video.facts.height, video.facts.width) == expected.shape[:2]
        assert video.facts.mirrored == (a * d - b * c < 0)
        frame = next(video.frames(1, fit(video.facts.width, video.facts.height, 640)))
    box = frame.letterbox
    assert corner_names(frame.image[: box.inner_height, : box.inner_width]) == names
    assert frame.picture is not None
    whole = np.array([[0, 0, 1, 1]], np.float32)
    assert corner_names(frame.picture.crops(whole, 0)[0]) == names
    for (x, y), name in zip(QUARTERS, names, strict=True):
        place = np.array([x, y, x + 0.46, y + 0.46], np.float32)
        snippet = frame.picture.snippet(place, 0, 48)
        assert snippet is not None
        assert set(corner_names(snippet.picture(48))) == {name}


# --- streams --------------------------------------------------------------------------------------


def write_streams(
    path: Path, streams: Sequence[tuple[tuple[int, int], int, bool]], codec: str = "libx264"
) -> Path:
    """Args:
    streams: size, number of pictures, and whether it is marked as the default.
    """
    with av.open(str(path), "w") as container:
        added = []
        for (width, height), _, is_default in streams:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = 1 if is_default else 0
            added.append(stream)
        for stream, ((width, height), count, _) in zip(added, streams, strict=True):
            for number in range(count):
                picture = np.kron(
                    numbered(number), np.ones((height // 64, width // 128, 1), np.uint8)
                )
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


SMALL, LARGE = (128, 64), (256, 128)


@pytest.mark.parametrize(
    ("streams", "chosen"),
    [
        ([(SMALL, 3, False), (LARGE, 20, True)], 1),
        ([(SMALL, 20, True), (LARGE, 20, False)], 0),  # the default goes before the largest
        ([(SMALL, 20, False), (LARGE, 20, False)], 1),
        ([(LARGE, 20, False), (LARGE, 20, False)], 0),
    ],
)
def test_the_stream_is_chosen_as_players_choose(
    tmp_path: Path, streams: list[tuple[tuple[int, int], int, bool]], chosen: int
) -> None:
    path = write_streams(tmp_path / "a.mkv", streams)
    with open_video(path, threads=1) as video:
        assert video.facts.stream == chosen
        assert (video.facts.width, video.facts.height) == streams[chosen][0]
        assert len(video.facts.streams) == 2
    for number in (0, 1):
        with open_video(path, threads=1, stream=number) as video:
            assert video.facts.stream == number
            assert video.facts.frames == streams[number][1]


def test_a_stream_that_is_no_video_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", 5, replace(H264, audio=True))
    with (
        pytest.raises(VideoUnreadable, match=r"Stream 1 .* is no video") as caught,
        open_video(path, threads=1, stream=1),
    ):
        pass
    assert caught.value.hint == "Its video streams: 0 (h264, 128x64)."


def test_a_programme_of_which_nothing_is_sent_is_passed_over(tmp_path: Path) -> None:
    units = [Unit(p.data, p.pts, p.dts) for p in piece(H264_B, 0, 30)]
    path = write_ts(tmp_path / "a.ts", units, empty_programmes=2)
    with open_video(path, threads=1) as video:
        assert video.facts.stream == 2
        assert [read_number(i.picture.pixels()) for i in video.sampled(7)] == [0, 7, 14, 21, 28]


# --- memory ---------------------------------------------------------------------------------------


def test_no_frame_is_kept_alive(tmp_path: Path) -> None:
    """Frames of PyAV whose side data were asked for hold themselves; a 4K frame has 12 MB."""
    path = write_numbered(tmp_path / "a.mp4", 60)
    gc.collect()
    gc.disable()
    try:
        with open_video(path, threads=1) as video:
            for _ in video.frames(1, fit(128, 64, 640)):
                pass
            alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 4


# --- files that once failed -----------------------------------------------------------------------


def read_bar(image: Image) -> int:
    """The number in a case's picture: bits, lowest first, in a bar of two rows at the top left."""
    height, width = image.shape[:2]
    bit = width / 40
    level = [float(image[height // 100, round((n + 0.5) * bit)].mean()) for n in range(8)]
    return sum(int(value > 128) << place for place, value in enumerate(level))


def case_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cases").iterdir() if path.suffix != ".json")


CASES = [
    *("dead-first.ts", "dvb-720-544.ts", "gap-no-pts.ts", "hdr-pq.mp4", "hflip.mp4"),
    *("joined-b.ts", "null.avi", "pes-per-frame.ts", "preview-first.mkv", "vfr-equal.flv"),
    "vp8-altref.webm",
]


@pytest.fixture
def cases(test_data: Path) -> Path:
    folder = test_data / "cases"
    if not folder.is_dir():
        pytest.skip("the test data have no cases/")
    return folder


def test_every_case_is_here(cases: Path) -> None:
    assert [path.name for path in sorted(cases.iterdir()) if path.suffix != ".json"] == CASES


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stride", [1, 3, 6, 7, 12])
@pytest.mark.parametrize("name", CASES)
def test_a_file_that_once_failed(cases: Path, name: str, stride: int, threads: int) -> None:
    truth: dict[str, Any] = json.loads((cases / f"{name}.truth.json").read_text())
    there = [number for number, time in enumerate(truth["times"]) if time is not None]
    times = [truth["times"][number] for number in there]
    with open_video(cases / name, threads=threads) as video:
        items = list(video.sampled(stride))
        facts = video.facts
        assert (video.damaged_packets, video.truncated) == (0, False)
    assert facts.frames == len(there)
    assert [item.index for item in items] == list(range(0, len(there), stride))
    assert [item.ts_s for item in items] == pytest.approx(times[::stride], abs=2e-3)
    assert facts.duration_s == pytest.approx(times[-1] + 1 / facts.fps, abs=0.05)
    assert [read_bar(item.picture.pixels()) for item in items] == there[::stride]


def opened(path: Path) -> Video:
    with open_video(path, threads=1) as video:
        return video


def test_what_is_told_of_those_files(cases: Path) -> None:
    assert opened(cases / "preview-first.mkv").facts.stream == 1
    assert opened(cases / "dead-first.ts").facts.streams[0] == "0 (h264, 0x0)"
    assert opened(cases / "hflip.mp4").facts.mirrored
    assert opened(cases / "hdr-pq.mp4").facts.transfer == "pq"
    assert "without a time in the file: 1." in opened(cases / "gap-no-pts.ts").warnings[0]
    assert "first at frame 75, 3.00 s" in opened(cases / "joined-b.ts").warnings[0]
    for name in ("null.avi", "pes-per-frame.ts", "vp8-altref.webm", "vfr-equal.flv"):
        assert opened(cases / name).warnings == []
