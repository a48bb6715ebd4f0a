"""Selective decoding gives the pictures that full decoding gives, to the bit, for less work."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.pipeline.decode.selection import NOT_SHOWN, Need, PacketOrder
from apps.pipeline.decode.video import open_video
from tests.pipeline.videos import AV1, H264, HEVC, MPEG4, VP9, Recipe, moving, write_video

FRAMES = 90
X265 = "log-level=none:bframes=4:b-pyramid=1"
RECIPES = {
    "h264 b frames": ("mp4", H264),
    "h264 no b frames": ("mp4", Recipe(options={"bf": "0", "g": "30"})),
    "h264 pyramid": ("mp4", Recipe(options={"bf": "6", "b_strategy": "0", "g": "60"})),
    "h264 open group": ("mkv", Recipe(options={"bf": "3", "g": "24", "x264-params": "open-gop=1"})),
    "h264 intra refresh": ("mp4", Recipe(options={"g": "30", "x264-params": "intra-refresh=1"})),
    "h264 interlaced": ("mp4", Recipe(options={"bf": "3", "g": "25", "flags": "+ildct+ilme"})),
    "h264 start codes": ("ts", Recipe(options={"bf": "3", "g": "25"})),
    "h264 key frames only": ("mp4", Recipe(options={"g": "1"})),
    "h264 short groups": ("mp4", Recipe(options={"g": "5", "bf": "2", "sc_threshold": "0"})),
    "hevc": ("mp4", HEVC),
    "hevc layers": (
        "mp4",
        replace(HEVC, options={"x265-params": f"{X265}:temporal-layers=3"}),
    ),
    "hevc open group": (
        "mkv",
        replace(HEVC, options={"x265-params": f"{X265}:open-gop=1:keyint=24"}),
    ),
    "vp9 hidden references": (
        "webm",
        replace(VP9, options={"cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    ),
    "av1": ("mkv", AV1),
    "mpeg4": ("mp4", MPEG4),
    "mpeg4 b frames": ("mp4", replace(MPEG4, options={"b": "2M", "bf": "2", "g": "24"})),
    "mpeg2": ("ts", Recipe("mpeg2video", options={"bf": "2", "b": "2M", "g": "12"})),
    "mjpeg": ("mov", Recipe("mjpeg", pix_fmt="yuvj420p")),
    "avi, which stores no times": ("avi", Recipe("mpeg4", options={"b": "2M", "bf": "0"})),
}


def sampled(path: Path, stride: int, threads: int, *, full: bool) -> tuple[dict[int, str], int]:
    """Digests of the sampled pictures by number, and how many pictures were decoded for them."""
    found, decoded = {}, 0
    with open_video(path, threads=threads) as video:
        for item in video.decoded(1 if full else stride):
            decoded += 1
            if item.index % stride == 0:
                pixels = item.picture.frame.to_ndarray()
                found[item.index] = hashlib.sha256(pixels.tobytes()).hexdigest()
    return found, decoded


@pytest.mark.parametrize("name", RECIPES)
def test_every_kind_of_video(tmp_path: Path, name: str) -> None:
    extension, recipe = RECIPES[name]
    path = write_video(tmp_path / f"video.{extension}", moving(FRAMES), recipe)
    every, _ = sampled(path, 1, 1, full=True)
    assert len(every) == FRAMES
    for stride in (2, 6, 12, 50):
        expected = {index: every[index] for index in range(0, FRAMES, stride)}
        for threads in (1, 2):
            assert sampled(path, stride, threads, full=False)[0] == expected, (stride, threads)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    b_frames=st.integers(0, 5),
    group=st.integers(1, 40),
    open_group=st.booleans(),
    references=st.integers(1, 4),
    stride=st.integers(2, 30),
    threads=st.integers(1, 3),
    extension=st.sampled_from(["mp4", "mkv", "ts"]),
)
def test_any_h264(
    tmp_path: Path,
    b_frames: int,
    group: int,
    open_group: bool,
    references: int,
    stride: int,
    threads: int,
    extension: str,
) -> None:
    extra = f"open-gop={int(open_group)}:ref={references}"
    options = {"bf": str(b_frames), "g": str(group), "x264-params": extra, "preset": "veryfast"}
    path = write_video(tmp_path / f"v.{extension}", moving(50), Recipe(options=options))
    expected, _ = sampled(path, stride, 1, full=True)
    assert sampled(path, stride, threads, full=False)[0] == expected


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    steps = [1, 1, 3, 1, 2, 5, 1, 1] * 8
    times = [Fraction(sum(steps[:place]), 50) for place in range(len(steps))]
    path = write_video(tmp_path / "v.mkv", moving(len(times)), replace(H264, times=times))
    expected, _ = sampled(path, 6, 1, full=True)
    assert sampled(path, 6, 2, full=False)[0] == expected


def test_only_what_is_needed_is_decoded(tmp_path: Path, test_data: Path) -> None:
    """Counts, not seconds: the guard that the saving stays."""
    street = test_data / "videos" / "facenet_video.mp4"
    assert sampled(street, 6, 1, full=False)[1] <= 53  # of 105
    intra = write_video(tmp_path / "i.mp4", moving(FRAMES), Recipe(options={"g": "1"}))
    assert sampled(intra, 6, 1, full=False)[1] == 15  # of 90
    short = write_video(
        tmp_path / "s.mp4", moving(60), Recipe(options={"g": "10", "bf": "0", "sc_threshold": "0"})
    )
    assert sampled(short, 10, 1, full=False)[1] == 6  # the key frame of every group


def order(
    display: list[int], keys: Collection[int], with_headers: Collection[int] = ()
) -> PacketOrder:
    restarts, headers = (
        np.array([place in those for place in range(len(display))], np.bool_)
        for those in (keys, with_headers)
    )
    sizes = np.zeros(len(display), np.int64)
    return PacketOrder(np.array(display, np.int64), restarts, headers, sizes)


def letters(needs: list[Need]) -> str:
    names = {Need.PICTURE: "P", Need.IF_REFERENCE: "r", Need.NOTHING: "."}
    return "".join(names[need] for need in needs)


@pytest.mark.parametrize(
    ("display", "keys", "stride", "expected"),
    [
        ([0, 1, 2, 3, 4, 5], {0, 3}, 3, "P..P.."),
        ([0, 1, 2, 3, 4, 5], {0, 3}, 2, "PrPrP."),
        ([0, 1, 2, 3, 4, 5], {0, 3}, 6, "P....."),
        ([0, 1, 2, 3, 4, 5], set(), 2, "PrPrP."),
        ([0, 2, 1, 4, 3, 5], {0, 3}, 5, "PrrrrP"),  # 3 is shown before the key frame: open
        ([NOT_SHOWN, 0, 1, 2, NOT_SHOWN], {0, 3}, 2, "rP.P."),
        ([], set(), 2, ""),
    ],
)
def test_needs(display: list[int], keys: set[int], stride: int, expected: str) -> None:
    assert letters(order(display, keys).needs(stride)) == expected


def test_needs_from_a_frame_on() -> None:
    groups = order([0, 1, 2, 3, 4, 5], {0, 3})
    assert letters(groups.needs(2, 3)) == "...rP."
    assert letters(groups.needs(1, 5)) == "...rrP"
    assert letters(groups.needs(2, 6)) == "......"


def test_needs_of_some_groups() -> None:
    groups = order([0, 1, 2, 3, 4, 5, 6], {0, 3, 5}, with_headers={4})
    among = np.array([False] * 3 + [True] * 2 + [False] * 2)
    assert letters(groups.needs(2, among=among)) == "...rP.."
    assert letters(groups.needs(3, among=among)) == "...PP.."  # with parameters
    assert letters(groups.needs(2, among=~among)) == "PrPrPrP"


@pytest.mark.parametrize("name", RECIPES)
def test_decoding_goes_on_behind_any_frame(tmp_path: Path, name: str) -> None:
    extension, recipe = RECIPES[name]
    path = write_video(tmp_path / f"video.{extension}", moving(FRAMES), recipe)
    for stride, after in ((1, 31), (6, 30), (12, 48), (6, 84)):
        found = []
        for behind in (-1, after):
            with open_video(path, threads=1) as video:
                samples = video.software.sampled(stride, behind)
                seen = [
                    (s.index, s.picture.frame.to_ndarray().tobytes(), s.passed) for s in samples
                ]
            found.append([(index, hash(picture), len(passed)) for index, picture, passed in seen])
        every, rest = found
        assert rest == [item for item in every if item[0] > after], (stride, after)
