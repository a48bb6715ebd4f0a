"""Recordings: clocks that break, parts that were joined, parameters that change midway.

What is right is what a full decode by FFmpeg shows, picture by picture, and the times that the test
itself gave to its pictures; where FFmpeg loses pictures at a join, the numbers that they carry.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import PacketSideData
from hypothesis import given
from hypothesis import strategies as st

from apps.pipeline.decode.video import open_video
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
    Coded,
    Coding,
    coded,
    to_container,
    to_raw,
    to_ts,
)
from tests.pipeline.files import check, files, piece, see
from tests.pipeline.transport import CLOCK
from tests.pipeline.videos import Recipe, numbered, read_number, write_numbered

NEW_EXTRADATA = 1  # FFmpeg's number of that kind of side data
WRAP = 1 << 33  # of a transport stream's clock, ticks


def with_options(coding: Coding, options: dict[str, str]) -> Coding:
    return replace(coding, options=coding.options | options)


# By the codec's name: as another encoder codes. Each is made once, so that `piece` knows it again.
_OTHER_MPEG2 = with_options(MPEG2, {"intra_matrix": ",".join(["8"] + ["20"] * 63)})
_OTHER_X265 = "log-level=none:bframes=3:keyint=12:scenecut=0:ref=4:ctu=16"
OTHERWISE = {
    "h264": with_options(
        H264_B, {"preset": "faster", "refs": "4", "x264-params": "cabac=0:sps-id=1"}
    ),
    "hevc": with_options(HEVC_B, {"x265-params": f"{_OTHER_X265}:open-gop=0"}),
    "mpeg2video": _OTHER_MPEG2,
}
OTHERWISE_OPEN = {
    "h264": with_options(
        H264_OPEN,
        {"preset": "faster", "x264-params": "open-gop=1:scenecut=0:cabac=0:sps-id=1"},
    ),
    "hevc": with_options(HEVC_OPEN, {"x265-params": f"{_OTHER_X265}:open-gop=1:repeat-headers=1"}),
    "mpeg2video": _OTHER_MPEG2,
}
REFRESHED = with_options(H264_P, {"intra-refresh": "1", "bf": "0"})

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
@files(60)
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


@pytest.mark.parametrize("coding", [H264_B, MPEG4_ASP], ids=lambda coding: coding.name)
def test_sound_of_an_avi_that_begins_before_the_pictures(tmp_path: Path, coding: Coding) -> None:
    """The muxer leaves out no slot before the first picture but all those behind it; when it is
    shown the decoder's delay tells."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(coding.encoder, rate=25)
        stream.height, stream.width = numbered(0).shape[:2]
        stream.pix_fmt, stream.codec_context.options = coding.pix_fmt, dict(coding.options)
        sound = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        quiet = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
        quiet.sample_rate, quiet.time_base = 48_000, Fraction(1, 48_000)
        for number in range(50):
            quiet.pts = number * 960
            container.mux(sound.encode(quiet))
        for number in range(25, 50):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    seconds = see(path).seconds
    assert seconds == pytest.approx([number / 25 for number in range(25, 50)], abs=0.041)
    assert np.diff(seconds) == pytest.approx([1 / 25] * 24)


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


# --- joined at an open group ----------------------------------------------------------------------

OPEN = [H264_OPEN, HEVC_OPEN, MPEG2]
OPEN_CLOCKS = {
    "without a gap": 0,
    "a loss of signal": 10 * CLOCK,
    "later": 3600 * CLOCK,
    "lower": -100 * CLOCK,
    "overlapping": -20 * FRAME,
    "without a gap by decoding times": -2 * FRAME,
}


def access_points(packets: Sequence[Coded]) -> list[int]:
    return [place for place, packet in enumerate(packets) if packet.is_key]


def whole_groups(coding: Coding, first: int, count: int, groups: int) -> list[Coded]:
    """A recording that was cut in front of an access point."""
    packets = piece(coding, first, count)
    return list(packets[: access_points(packets)[groups]])


def without_groups(coding: Coding, first: int, count: int, groups: int) -> list[Coded]:
    """A recording that begins at an access point with pictures of the group before behind it."""
    packets = piece(coding, first, count)
    return list(packets[access_points(packets)[groups] :])


class Joined:
    """FFmpeg loses pictures of both there, up to all of the second one; the product loses none that
    can be decoded. Those that the access point leads cannot: they are left out, or ruined where
    nothing in the data tells that another recording begins.
    """

    def __init__(self, coding: Coding, is_other: bool, groups: int, lost: int) -> None:
        self.first = whole_groups(coding, 0, 80, groups)
        other = OTHERWISE_OPEN[coding.name] if is_other else coding
        self.second = without_groups(other, 100, 48 + 12 * lost, lost)
        start = self.second[0].pts or 0
        self.leading = sum((p.pts or 0) < start for p in self.second)
        # By another count than could come next: that of x264 has a few bits.
        self.is_noticed = lost == 1 and (
            coding is HEVC_OPEN or (coding is H264_OPEN and groups != 3)
        )
        self.is_noticed |= coding is HEVC_OPEN and is_other
        self.shown = sorted((p.pts or 0) // FRAME for p in self.first)
        self.shown += sorted(100 + (p.pts or 0) // FRAME for p in self.second)[self.leading :]

    def packets(self, clock: int) -> list[Coded]:
        shift = 200 * CLOCK + len(self.first) * FRAME - (self.second[0].pts or 0) + clock
        return [*(p.later(200 * CLOCK) for p in self.first), *(p.later(shift) for p in self.second)]

    def check(self, path: Path) -> None:
        count = len(self.first)
        seen = see(path)
        ruined = range(count, count + seen.frames - len(self.shown))
        assert len(ruined) in ((0,) if self.is_noticed else (0, self.leading))
        numbers = self.shown[:count] + [-1] * len(ruined) + self.shown[count:]
        for sampled, stride in ((seen, 1), *((see(path, stride), stride) for stride in (4, 11))):
            wanted = range(0, seen.frames, stride)
            assert set(wanted) - set(sampled.indices) <= set(ruined)
            for index, number, time in zip(
                sampled.indices, sampled.numbers, sampled.seconds, strict=True
            ):
                assert number == numbers[index] or index in ruined
                assert time == seen.seconds[seen.indices.index(index)]
        assert seen.seconds == sorted(seen.seconds)


@pytest.fixture
def joined(coding: Coding, is_other: bool, groups: int, lost: int) -> Joined:
    return Joined(coding, is_other, groups, lost)


def all_joins(test: Callable[..., None]) -> Callable[..., None]:
    for mark in (
        pytest.mark.trap(45),
        pytest.mark.parametrize("is_other", [False, True], ids=["same", "other"]),
        pytest.mark.parametrize("coding", OPEN, ids=lambda coding: coding.name),
    ):
        test = mark(test)
    return test


@all_joins
@pytest.mark.parametrize(
    ("clock", "groups", "lost"),
    [
        *((clock, groups, lost) for clock in OPEN_CLOCKS for groups, lost in ((2, 1), (1, 3))),
        # What the coded data tell says no clock.
        *((clock, groups, 1) for clock in ("without a gap", "lower") for groups in (3, 4)),
    ],
)
def test_recordings_that_are_joined_at_an_open_group(
    tmp_path: Path, joined: Joined, coding: Coding, clock: str
) -> None:
    packets = joined.packets(OPEN_CLOCKS[clock])
    joined.check(to_ts(tmp_path / "a.ts", packets, coding))


@all_joins
@pytest.mark.parametrize(("groups", "lost"), [(2, 1), (3, 1), (4, 1), (1, 3)])
def test_raw_recordings_that_are_joined_at_an_open_group(
    tmp_path: Path, joined: Joined, coding: Coding
) -> None:
    """They have no clock."""
    name = f"a.{coding.name.removesuffix('video')}"
    joined.check(to_raw(tmp_path / name, joined.packets(0)))


END_OF_SEQUENCE = b"\0\0\0\1" + bytes([36 << 1, 1])


def throwing_away(packet: Coded) -> Coded:
    """Of an IDR picture: with `no_output_of_prior_pics_flag`."""
    data = bytearray(packet.data)
    for start in range(len(data) - 5):
        if data[start : start + 3] == b"\0\0\1" and data[start + 3] >> 1 & 0x3F in (19, 20):
            data[start + 5] |= 0x40
    assert bytes(data) != packet.data
    return replace(packet, data=bytes(data))


@pytest.mark.trap(45)
@pytest.mark.parametrize("stride", [1, 3, 13])
@pytest.mark.parametrize("is_in_front", [False, True])
@pytest.mark.parametrize("coding", [HEVC_B, HEVC_OPEN], ids=["closed", "open"])
def test_what_is_held_back_at_the_end_of_a_sequence_is_shown(
    tmp_path: Path, coding: Coding, is_in_front: bool, stride: int
) -> None:
    """A decoder of HEVC throws it away, in one recording as well. It decodes no leading ones."""
    packets = [packet.later(CLOCK) for packet in piece(coding, 0, 60)]
    place = access_points(packets)[2]
    point = packets[place]
    if is_in_front:
        packets[place] = replace(point, data=END_OF_SEQUENCE + point.data)
    else:
        packets[place - 1] = replace(
            packets[place - 1], data=packets[place - 1].data + END_OF_SEQUENCE
        )
    lost = {p.pts for p in packets[place:] if (p.pts or 0) < (point.pts or 0)}
    assert (len(lost) > 0) == (coding is HEVC_OPEN)
    shown = [n for n in range(60) if CLOCK + n * FRAME not in lost]
    for path in (to_ts(tmp_path / "a.ts", packets, coding), to_raw(tmp_path / "a.hevc", packets)):
        seen = see(path, stride)
        assert seen.frames == len(shown)
        assert seen.numbers == shown[::stride]


@pytest.mark.trap(45)
@pytest.mark.parametrize("stride", [1, 3, 13])
def test_what_a_hevc_picture_would_throw_away_is_shown(tmp_path: Path, stride: int) -> None:
    first, second = list(piece(HEVC_B, 0, 30)), [p.later(30 * FRAME) for p in piece(HEVC_B, 30, 30)]
    second[0] = throwing_away(second[0])
    packets = [packet.later(CLOCK) for packet in first + second]
    for path in (to_ts(tmp_path / "a.ts", packets, HEVC_B), to_raw(tmp_path / "a.hevc", packets)):
        seen = see(path, stride)
        assert seen.frames == 60
        assert seen.numbers == list(range(0, 60, stride))
        assert seen.seconds == pytest.approx([n / 25 for n in range(0, 60, stride)])


@pytest.mark.parametrize("cut", [1, 7, 25])
@pytest.mark.parametrize("stride", [1, 6])
def test_a_recording_without_key_frames(tmp_path: Path, cut: int, stride: int) -> None:
    """Refreshed column by column (H.264): a recording begins anywhere."""
    packets = [packet.later(10 * CLOCK) for packet in piece(REFRESHED, 0, 90)[cut:]]
    for path in (to_ts(tmp_path / "a.ts", packets), to_raw(tmp_path / "a.h264", packets)):
        seen = check(path, stride, 1)
        assert seen.frames >= 30
        assert seen.seconds[0] == 0
        assert seen.warnings == []


@pytest.mark.parametrize("stride", [1, 4])
def test_b_pictures_that_mpeg2_cannot_decode_after_a_change_of_size(
    tmp_path: Path, stride: int
) -> None:
    """They lead the first picture of the new size and refer to one of the old size."""
    second = coded(MPEG2, range(100, 148), size=(256, 128))
    second = second[access_points(second)[1] :]
    leading = sum((p.pts or 0) < (second[0].pts or 0) for p in second)
    assert leading == 2
    shown = [*range(30), *sorted(100 + (p.pts or 0) // FRAME for p in second)[leading:]]
    shift = CLOCK + 32 * FRAME - (second[0].pts or 0)
    packets = [*(p.later(CLOCK) for p in piece(MPEG2, 0, 30)), *(p.later(shift) for p in second)]
    seen = see(to_ts(tmp_path / "a.ts", packets, MPEG2), stride)
    assert (seen.frames, seen.damaged) == (len(shown), 0)
    assert seen.numbers == shown[::stride]


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
@files(30)
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


@pytest.mark.trap(44)
@pytest.mark.parametrize("stride", [1, 5, 13, 25, 41])
@pytest.mark.parametrize("coding", [H264_B, HEVC_B, MPEG2], ids=lambda coding: coding.name)
def test_parameters_that_come_once_are_not_skipped(
    tmp_path: Path, coding: Coding, stride: int
) -> None:
    """New ones at frame 30, and none after: also where no frame of that group is sampled."""
    first = list(piece(coding, 0, 30))
    second = [p.later(30 * FRAME) for p in piece(OTHERWISE[coding.name], 30, 40)]
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
    first = list(piece(H264_B, 0, 30))
    second = [p.later(30 * FRAME) for p in piece(OTHERWISE["h264"], 30, 40)]
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
