"""The preview plays, has the source's frames and times, and shows the tracks."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest

from apps.common.config import PreviewConfig
from apps.common.contracts.rows import DetectionRow
from apps.pipeline.decode.video import open_video
from apps.pipeline.render.preview import TrackBoxes, collect_tracks, render_preview
from tests.pipeline.videos import (
    BLUE,
    GREEN,
    H264,
    RED,
    WHITE,
    Image,
    corner_names,
    corners,
    write_numbered,
    write_video,
)

CONFIG = PreviewConfig(long_side=1280, crf=20)
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
QUARTERS = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]


def track(number: int, frames: Sequence[int], boxes: Sequence[Sequence[float]]) -> TrackBoxes:
    return TrackBoxes(
        f"track-{number:05d}", np.array(frames, np.int64), np.array(boxes, np.float32)
    )


def preview(
    source: Path, tracks: list[TrackBoxes], config: PreviewConfig = CONFIG
) -> tuple[list[float], list[Image], list[int]]:
    """Times and BGR pictures of the preview, and the numbers that were reported."""
    target = source.with_name("preview.mp4")
    reported: list[int] = []
    with open_video(source, threads=1) as video:
        render_preview(video, tracks, target, config, cpu_threads=1, after_frame=reported.append)
    with av.open(str(target)) as container:
        assert container.format.name.startswith("mov,mp4")
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"  # plays anywhere
        frames = list(container.decode(video=0))
    return (
        [float(frame.time) for frame in frames],
        [frame.to_ndarray(format="bgr24") for frame in frames],
        reported,
    )


# --- interpolation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "box"),
    [
        (5, None),
        (6, [0.1, 0.2, 0.3, 0.4]),
        (9, [0.2, 0.3, 0.4, 0.5]),
        (12, [0.3, 0.4, 0.5, 0.6]),
        (24, [0.3, 0.4, 0.5, 0.6]),  # half-way between two equal boxes, a miss between them
        (36, [0.3, 0.4, 0.5, 0.6]),
        (37, None),
    ],
)
def test_boxes_between_samples_are_interpolated(frame: int, box: list[float] | None) -> None:
    path = track(1, [6, 12, 36], [[0.1, 0.2, 0.3, 0.4]] + [[0.3, 0.4, 0.5, 0.6]] * 2)
    found = path.at(frame)
    assert (found is None) == (box is None)
    if box is not None and found is not None:
        np.testing.assert_allclose(found, box, atol=1e-6)


def seen(track_id: str | None, frame: int, bbox: tuple[float, float, float, float]) -> DetectionRow:
    return DetectionRow(
        frame_idx=frame,
        ts_s=frame / 25,
        bbox=bbox,
        landmarks=((None, None),) * 5,
        conf=0.9,
        track_id=track_id,
    )


def test_tracks_are_collected_from_rows() -> None:
    rows = [
        seen("track-00002", 0, (0.1, 0.1, 0.2, 0.2)),
        seen(None, 0, (0.5, 0.5, 0.6, 0.6)),
        None,
        seen("track-00001", 6, (0.3, 0.3, 0.4, 0.4)),
        seen("track-00002", 6, (0.2, 0.2, 0.3, 0.3)),
    ]
    found = collect_tracks(rows)
    assert [t.name for t in found] == ["track-00001", "track-00002"]
    assert [t.frames.tolist() for t in found] == [[6], [0, 6]]
    assert found[1].boxes.shape == (2, 4)
    assert collect_tracks([]) == []


# --- the file ----------------------------------------------------------------------------------


def test_it_has_the_frames_and_times_of_the_source(tmp_path: Path) -> None:
    times, pictures, reported = preview(write_numbered(tmp_path / "a.mp4", 40), [])
    assert reported == list(range(40))
    assert times == pytest.approx([n / 25 for n in range(40)], abs=1e-3)
    assert {picture.shape for picture in pictures} == {(64, 128, 3)}


def test_a_variable_frame_rate_stays_right(tmp_path: Path) -> None:
    times = [Fraction(n, 25) + (Fraction(2, 5) if n >= 15 else 0) for n in range(30)]
    source = write_numbered(tmp_path / "a.mp4", 30, replace(H264, times=times))
    found, _, _ = preview(source, [])
    assert found == pytest.approx([float(t) for t in times], abs=1e-3)
    durations = []
    for path in (source, tmp_path / "preview.mp4"):
        with av.open(str(path)) as container:
            durations.append((container.duration or 0) / av.time_base)
    assert durations[1] == pytest.approx(durations[0], abs=0.05)


def saturation(image: Image) -> Image:
    return image.max(axis=2).astype(int) - image.min(axis=2)


def test_the_box_is_where_the_track_is_and_nowhere_else(tmp_path: Path) -> None:
    grey = np.full((180, 320, 3), 100, np.uint8)
    source = write_video(tmp_path / "a.mp4", [grey] * 30)
    moving = track(7, [6, 18], [[0.1, 0.3, 0.3, 0.7], [0.5, 0.3, 0.7, 0.7]])
    _, pictures, _ = preview(source, [moving])
    for number, picture in enumerate(pictures):
        colour = saturation(picture) > 60
        if not 6 <= number <= 18:
            assert not colour.any()
            continue
        box = moving.at(number)
        assert box is not None
        left, top, right, bottom = (box * [320, 180, 320, 180]).round().astype(int)
        rows, columns = np.nonzero(colour)
        assert abs(columns.min() - left) <= 3
        assert abs(columns.max() - right) <= 3
        assert abs(rows.max() - bottom) <= 3
        assert rows.min() <= top + 3
        assert not colour[top + 12 : bottom - 8, left + 8 : right - 8].any()  # an outline


def test_tracks_have_colours_of_their_own(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [np.full((360, 640, 3), 100, np.uint8)] * 6)
    places = [[0.1, 0.3, 0.2, 0.9], [0.5, 0.3, 0.6, 0.9], [0.8, 0.3, 0.9, 0.9]]
    tracks = [track(n + 1, [0, 5], [place] * 2) for n, place in enumerate(places)]
    _, pictures, _ = preview(source, tracks)
    seen = []
    for place in places:
        x = round(place[0] * 640)
        area = pictures[3][160:300, x - 3 : x + 4].reshape(-1, 3).astype(int)
        seen.append(area[saturation(area[None])[0].argmax()])
    for i, first in enumerate(seen):
        for second in seen[i + 1 :]:
            assert np.abs(first - second).sum() > 80


@pytest.mark.parametrize(
    ("rotation", "ratio", "shape", "names"),
    [
        (0, None, (96, 192), ["red", "green", "blue", "white"]),
        (90, None, (192, 96), ["green", "white", "red", "blue"]),
        (0, Fraction(4, 3), (96, 256), ["red", "green", "blue", "white"]),
    ],
)
def test_it_shows_what_a_player_shows(
    tmp_path: Path,
    rotation: int,
    ratio: Fraction | None,
    shape: tuple[int, int],
    names: list[str],
) -> None:
    recipe = replace(H264, rotation=rotation, sample_aspect_ratio=ratio)
    source = write_video(tmp_path / "a.mp4", [corners(192, 96)] * 3, recipe)
    _, pictures, _ = preview(source, [])
    assert len(pictures) == 3
    for picture in pictures:
        assert picture.shape[:2] == shape
        assert corner_names(picture) == names


@pytest.mark.parametrize(
    ("size", "long_side", "shape"),
    [((320, 180), 160, (90, 160)), ((101, 67), 1280, (66, 100)), ((90, 160), 80, (80, 44))],
)
def test_its_size_is_bounded_and_even(
    tmp_path: Path, size: tuple[int, int], long_side: int, shape: tuple[int, int]
) -> None:
    source = write_video(tmp_path / "a.mkv", [corners(*size)] * 2, replace(H264, pix_fmt="yuv444p"))
    _, pictures, _ = preview(source, [], PreviewConfig(long_side=long_side, crf=20))
    (height, width) = pictures[0].shape[:2]
    assert height % 2 == width % 2 == 0
    assert max(abs(height - shape[0]), abs(width - shape[1])) <= 2
    assert corner_names(pictures[0]) == ["red", "green", "blue", "white"]


def test_its_colours_are_those_of_the_source_and_the_file_says_which(tmp_path: Path) -> None:
    """Players guess where a file does not say it, and of 720 lines they guess another matrix."""
    source = write_video(tmp_path / "a.mp4", [corners(1280, 720)] * 3)
    _, pictures, _ = preview(source, [])
    with av.open(str(tmp_path / "preview.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)  # BT.709
        assert frame.color_range == 1
        # By the formulas of BT.709, not by FFmpeg's scaler.
        planes = [
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in frame.planes
        ]
    for (name, colour), (x, y) in zip(COLOURS.items(), QUARTERS, strict=True):
        luma = (planes[0][round(y * 720), round(x * 1280)] - 16) / 219
        u, v = ((p[round(y * 360), round(x * 640)].astype(float) - 128) / 224 for p in planes[1:])
        red, blue = luma + 1.5748 * v, luma + 1.8556 * u
        green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152
        assert 255 * np.array([red, green, blue]) == pytest.approx(colour, abs=8), name
    assert corner_names(pictures[1]) == list(COLOURS)


def test_equal_times_of_the_source_are_one_after_the_other(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mp4", 10)
    target = tmp_path / "preview.mp4"
    with open_video(source, threads=1) as video:
        video.index.timeline.seconds[4:7] = video.index.timeline.seconds[4]
        render_preview(video, [], target, CONFIG, cpu_threads=1, after_frame=lambda _: None)
    with av.open(str(target)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert len(times) == 10
    assert times == sorted(set(times))
    assert times[6] == pytest.approx(times[4], abs=0.001)


def test_a_stop_ends_it(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mp4", 40)

    def stop(number: int) -> None:
        if number == 5:
            raise KeyboardInterrupt

    with open_video(source, threads=1) as video, pytest.raises(KeyboardInterrupt):
        render_preview(video, [], tmp_path / "preview.mp4", CONFIG, cpu_threads=1, after_frame=stop)


def test_a_real_video(test_data: Path, tmp_path: Path) -> None:
    name = "carphone_pristine.mp4"
    (tmp_path / name).symlink_to(test_data / "videos" / name)
    times, pictures, _ = preview(tmp_path / name, [track(1, [0, 119], [[0.3, 0.2, 0.7, 0.9]] * 2)])
    assert len(pictures) == 120
    assert times[-1] - times[0] == pytest.approx(119 / 29.97, abs=0.01)


def test_h264_is_made_without_avx512(tmp_path: Path) -> None:
    """With it, x264 does not make the same bytes each time."""
    source = write_numbered(tmp_path / "a.mp4", 3)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture(local=False) as said:
            preview(source, [])
    finally:
        av.logging.set_level(level)
    capabilities = [text for _, name, text in said if name == "libx264" and "capabilities" in text]
    assert len(capabilities) == 1
    assert "AVX512" not in capabilities[0]
    assert "SSE" in capabilities[0] or platform.machine() not in {"x86_64", "AMD64"}


@pytest.mark.parametrize(("cpu_threads", "encoder"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_threads_are_divided_by_their_number_alone(
    tmp_path: Path, cpu_threads: int, encoder: int
) -> None:
    """However the run divided its own: the pictures depend on how many the encoder has."""
    source = write_video(tmp_path / "a.mp4", [corners(640, 360)] * 3)
    target = tmp_path / "preview.mp4"
    with open_video(source, threads=2) as video:
        render_preview(
            video, [], target, CONFIG, cpu_threads=cpu_threads, after_frame=lambda _: None
        )
    assert f" threads={encoder} ".encode() in target.read_bytes()  # x264 writes its options
