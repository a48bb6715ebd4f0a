"""Files from real life: the right frames, at the right times, whatever the file is like.

What is right is what a full decode by FFmpeg shows, picture by picture, and the times that the test
itself gave to its pictures.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.errors import VideoUnreadable
from apps.pipeline.decode.video import open_video
from apps.pipeline.geometry import Orientation, fit
from tests.pipeline.coded import (
    FRAME,
    H264_B,
    H264_OPEN,
    H264_P,
    HEVC_B,
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
    to_ts,
)
from tests.pipeline.field_pictures import CodedPicture, Kind, coded_pictures
from tests.pipeline.files import check, files, opened, piece, see, shown_by_ffmpeg
from tests.pipeline.transport import CLOCK, Unit, write_ts
from tests.pipeline.videos import (
    AV1,
    H264,
    HEVC,
    Image,
    Recipe,
    corner_names,
    corners,
    numbered,
    read_number,
    write_numbered,
    write_video,
)

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
@files(35)
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


@files(30)
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


def packed(count: int, b_frames: int) -> list[bytes]:
    """As DivX does it: the first B picture behind its reference, each other one in the packet after
    that, and a placeholder in the last.
    """
    options = {"b": "3M", "bf": str(b_frames), "b_strategy": "0", "g": "12"}
    pictures = [packet.data for packet in coded(replace(MPEG4_ASP, options=options), range(count))]
    packets: list[bytes] = []
    waiting = False  # the packet of a B picture that stands behind its reference
    for data in pictures:
        is_b = data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2
        if is_b and not waiting:
            packets[-1] += data
            waiting = True
            continue
        if waiting and not is_b:
            packets.append(NOT_CODED)
            waiting = False
        packets.append(data)
    packets += [NOT_CODED] * waiting
    start = packets[0].index(b"\0\0\1\xb6")
    packets[0] = packets[0][:start] + DIVX + packets[0][start:]
    return packets


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
@pytest.mark.parametrize("b_frames", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_two_pictures_in_a_packet_of_divx(
    tmp_path: Path, name: str, b_frames: int, stride: int
) -> None:
    """Copied to Matroska, they have the times of the order in which they are coded."""
    data = packed(41, b_frames)
    assert len(data) == 41
    packets = [
        Coded(packet, place * FRAME, place * FRAME, is_key=False)
        for place, packet in enumerate(data)
    ]
    path = to_container(tmp_path / name, packets, MPEG4_ASP)
    seen = check(path, stride, 1, {number: number / 25 for number in range(41)})
    assert seen.numbers == list(range(0, 41, stride))


COPIES = [(name, H264_B) for name in ("mp4", "mkv", "flv", "nut")]
COPIES += [(name, HEVC_B) for name in ("mp4", "mkv")]


@pytest.mark.trap(43)
@pytest.mark.parametrize(("name", "coding"), COPIES)
@pytest.mark.parametrize("stride", [1, 3, 7])
def test_what_was_copied_out_of_avi_has_times_of_the_coding_order(
    tmp_path: Path, name: str, coding: Coding, stride: int
) -> None:
    packets = [p.at(n * FRAME, n * FRAME) for n, p in enumerate(piece(coding, 0, 60))]
    path = to_container(tmp_path / f"a.{name}", packets, coding)
    seen = check(path, stride, 1, {number: number / 25 for number in range(60)})
    assert seen.numbers == list(range(0, 60, stride))


EVERY_PACKET_A_KEY = [
    *[Coding(name, name, {"b": "2M", "g": "12"}) for name in ("msmpeg4", "wmv2", "h263p")],
    *(MPEG4_ASP, MPEG2, H264_B),
]


@pytest.mark.parametrize("coding", EVERY_PACKET_A_KEY, ids=lambda coding: coding.encoder)
@pytest.mark.parametrize("stride", [1, 5, 13])
def test_a_container_that_calls_every_packet_a_key_frame(
    tmp_path: Path, coding: Coding, stride: int
) -> None:
    """As some AVI do, and those without an index."""
    packets = [replace(packet, is_key=True) for packet in piece(coding, 0, 60)]
    path = to_container(tmp_path / "a.avi", packets, coding)
    seen = check(path, stride, 1, {number: number / 25 for number in range(60)})
    assert seen.numbers == list(range(0, 60, stride))


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
        ("a.mjpg", Recipe("mjpeg", pix_fmt="yuvj420p"), (1280, 720)),  # probed as an image
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


@pytest.mark.parametrize("fps", [60, 120, 144, 240])
def test_high_frame_rates_in_a_container_that_counts_milliseconds(tmp_path: Path, fps: int) -> None:
    path = write_numbered(tmp_path / "a.mkv", 60, replace(H264, fps=fps))
    with open_video(path, threads=1) as video:
        assert video.facts.fps == pytest.approx(fps, rel=0.01)
        assert not video.facts.variable_frame_rate
    assert see(path, 7).numbers == list(range(0, 60, 7))


@pytest.mark.parametrize("recipe", [H264, HEVC, AV1], ids=lambda recipe: recipe.codec)
@pytest.mark.parametrize("stride", [1, 3, 7])
def test_an_edit_list_that_begins_in_the_middle_of_a_group(
    tmp_path: Path, recipe: Recipe, stride: int
) -> None:
    """As cut without coding again: what is in front is decoded and not shown."""
    source = write_numbered(tmp_path / "source.mp4", 75, recipe)
    path = tmp_path / "a.mp4"
    with av.open(str(source)) as whole, av.open(str(path), "w") as container:
        stream = whole.streams.video[0]
        out = container.add_stream_from_template(stream, opaque=True)
        early = round(18 / 25 / stream.time_base)
        for packet in whole.demux(stream):
            if packet.size > 0:
                packet.pts -= early
                packet.dts -= early
                packet.stream = out
                container.mux(packet)
    seen = see(path, stride)
    assert seen.frames == 57
    assert seen.numbers == list(range(18, 75, stride))
    assert seen.seconds == pytest.approx([n / 25 for n in range(0, 57, stride)], abs=1e-3)
    assert (seen.damaged, seen.warnings) == (0, [])


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
        patch = frame.picture.face_patch(place, 0, 48)
        assert patch is not None
        assert set(corner_names(patch.picture(48))) == {name}


ROTATED, MIRRORED = Orientation(1, mirrored=False), Orientation(0, mirrored=True)
UPRIGHT = Orientation(0, mirrored=False)


def orientation_message(codec: str, shown: Orientation | None, *, persists: bool) -> bytes:
    """A unit with a display orientation message (H.264, D.2.27; H.265, D.3.17); None cancels."""
    bits = "1" if shown is None else f"0{int(shown.mirrored)}0{shown.turns << 14:016b}"
    if shown is not None:
        lasts = ("010" if persists else "1") if codec == "h264" else str(int(persists))
        bits += lasts + ("0" if codec == "h264" else "")
    bits += "1"
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = b"\x06" if codec == "h264" else b"\x4e\x01"
    return b"\0\0\0\1" + header + without_start_codes(bytes([47, len(data)]) + data) + b"\x80"


def without_start_codes(data: bytes) -> bytes:
    found = bytearray()
    for byte in data:
        if found[-2:] == b"\0\0" and byte <= 3:
            found.append(3)
        found.append(byte)
    return bytes(found)


ONE_GROUP = [
    replace(H264_P, options=H264_P.options | {"g": "100"}),
    replace(
        HEVC_B,
        options={"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:keyint=100"},
    ),
]


@pytest.mark.parametrize("stride", [1, 4, 7, 25])
@pytest.mark.parametrize("coding", ONE_GROUP, ids=lambda coding: coding.name)
def test_an_orientation_that_the_coded_pictures_carry(
    tmp_path: Path, coding: Coding, stride: int
) -> None:
    """It holds for one picture or from it on; also where that picture is not decoded."""
    packets = list(piece(coding, 0, 60))
    for place, shown, persists in [
        (10, ROTATED, True),
        (20, MIRRORED, False),  # and what was said before goes on
        (30, None, True),
        (42, MIRRORED, True),
    ]:
        message = orientation_message(coding.name, shown, persists=persists)
        packets[place] = replace(packets[place], data=message + packets[place].data)
    expected = [UPRIGHT] * 10 + [ROTATED] * 20 + [UPRIGHT] * 12 + [MIRRORED] * 18
    expected[20] = MIRRORED
    path = to_ts(tmp_path / "a.ts", packets, coding)
    with open_video(path, threads=1) as video:
        found = list(video.sampled(stride))
    assert [item.index for item in found] == list(range(0, 60, stride))
    assert [item.picture.orientation for item in found] == expected[::stride]


@pytest.mark.parametrize("ratio", [Fraction(3000), Fraction(1, 3000), Fraction(9)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pixels_of_a_shape_that_cannot_be_are_square(
    tmp_path: Path, name: str, ratio: Fraction
) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_video(path, threads=1) as video:
        assert (video.facts.width, video.facts.height) == (128, 64)
        assert [item.picture.size for item in video.sampled(1)] == [(128, 64)] * 3


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


def test_a_sound_that_appears_in_the_middle_of_a_recording(tmp_path: Path) -> None:
    """A film behind a spot without sound. FFmpeg makes a stream of it that nobody asked for, so
    far behind the start of the file that it was not found when that was opened.
    """
    filler = b"\0\0\0\1\x0c" + b"\xff" * 20_000 + b"\x80"
    units = [Unit(p.data + filler, p.pts, p.dts) for p in piece(H264_B, 0, 300)]
    path = write_ts(tmp_path / "a.ts", units, sound_from=280)
    with av.open(str(path)) as container:
        assert len(container.streams) == 1
    for stride in (1, 7):
        seen = see(path, stride)
        assert seen.frames == 300
        assert seen.indices == list(range(0, 300, stride))
        assert seen.damaged == 0


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


@pytest.mark.parametrize(("stride", "threads"), [(1, 2), (3, 1), (6, 2), (7, 1), (12, 2)])
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


def test_an_empty_stream_that_is_asked_for(cases: Path) -> None:
    with (
        pytest.raises(VideoUnreadable, match="This video stream has no frames") as caught,
        open_video(cases / "dead-first.ts", threads=1, stream=0),
    ):
        pass
    assert "1 (h264, 640x360)" in caught.value.hint


def test_what_is_reported_of_those_files(cases: Path) -> None:
    assert opened(cases / "preview-first.mkv").facts.stream == 1
    assert opened(cases / "dead-first.ts").facts.streams[0] == "0 (h264, 0x0)"
    assert opened(cases / "hflip.mp4").facts.mirrored
    assert opened(cases / "hdr-pq.mp4").facts.transfer == "pq"
    assert "without a time in the file: 1." in opened(cases / "gap-no-pts.ts").warnings[0]
    assert "first at frame 75, 3.00 s" in opened(cases / "joined-b.ts").warnings[0]
    for name in ("null.avi", "pes-per-frame.ts", "vp8-altref.webm", "vfr-equal.flv"):
        assert opened(cases / name).warnings == []
