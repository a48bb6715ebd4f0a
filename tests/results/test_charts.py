"""Figures of a run, counted from rows that are known."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.common.contracts.manifest import VideoFacts
from apps.common.contracts.rows import DetectionRow, TrackRow, read_rows
from apps.common.schemas import RunCharts
from apps.results.charts import chart_run, size_bins
from apps.results.rows import sorted_tracks

NO_POINT = (None, None)


def video(frames: int = 100, fps: float = 10, height: int = 1000) -> VideoFacts:
    return VideoFacts(
        width=2000,
        height=height,
        coded_width=2000,
        coded_height=height,
        rotation=0,
        sample_aspect_ratio=1,
        fps=fps,
        variable_frame_rate=False,
        frames=frames,
        duration_s=frames / fps,
        codec="h264",
        container="mp4",
    )


def face(
    frame: int, ts_s: float | None = None, *, conf: float = 0.9, height: float = 0.1
) -> DetectionRow:
    """A face of a video of 10 frames a second."""
    return DetectionRow(
        frame_idx=frame,
        ts_s=frame / 10 if ts_s is None else ts_s,
        bbox=(0.1, 0.1, 0.2, 0.1 + height),
        landmarks=(NO_POINT,) * 5,
        conf=conf,
        track_id=None,
    )


def span(first: int, last: int) -> TrackRow:
    return TrackRow(frame_span=(first, last))


def per_bin(drawn: RunCharts) -> list[tuple[float, float, int]]:
    return [(b.start_s, b.faces_per_frame, b.tracks) for b in drawn.faces]


def test_faces_by_time() -> None:
    """Frames 0, 5, ..., 95 were processed: 20, five in each of four stretches."""
    rows = [face(frame) for frame in (0, 0, 5, 20, 25, 25, 70, 95)]
    drawn = chart_run(video(), 5, [25, 75], rows, [span(0, 24), span(20, 70)], bins=4)

    assert (drawn.duration_s, drawn.bin_seconds) == (10, 2.5)
    assert per_bin(drawn) == [(0, 4 / 5, 2), (2.5, 2 / 5, 1), (5, 1 / 5, 1), (7.5, 1 / 5, 0)]
    assert drawn.cuts_s == [2.5, 7.5]
    assert drawn.unreadable_rows == 0


@pytest.mark.parametrize(
    ("frames", "stride", "bins", "count", "width"),
    [
        (100, 5, 240, 20, 5),  # never more than processed frames: no stretch is empty
        (100, 5, 1, 1, 100),
        (101, 5, 20, 11, 10),  # 21 processed, two a stretch
        (275, 6, 240, 46, 6),
        (61_494, 6, 240, 239, 258),
        (1, 12, 240, 1, 12),
        (7, 6, 2, 2, 6),
    ],
)
def test_stretches(frames: int, stride: int, bins: int, count: int, width: int) -> None:
    """With a face in each processed frame every stretch has one a frame, the last one too."""
    rows = (face(frame) for frame in range(0, frames, stride))
    drawn = chart_run(video(frames), stride, [], rows, [], bins)
    assert len(drawn.faces) == count <= bins
    assert drawn.bin_seconds == pytest.approx(width / 10)
    assert {b.faces_per_frame for b in drawn.faces} == {1.0}


def test_a_video_that_begins_late() -> None:
    rows = [face(frame, 0.85 + frame / 10) for frame in (10, 60)]
    drawn = chart_run(video(), 10, [30], rows, [], bins=5)
    assert [b.start_s for b in drawn.faces] == [0.85, 2.85, 4.85, 6.85, 8.85]
    assert drawn.cuts_s == [3.85]


def test_a_video_that_changes_its_rate() -> None:
    """10 frames a second, then 1: a cut is where its own row says."""
    rows = [face(frame, frame / 10 if frame < 50 else 5 + (frame - 50)) for frame in range(100)]
    drawn = chart_run(video(), 1, [50, 73], rows, [], bins=10)
    assert [b.start_s for b in drawn.faces] == [0, 1, 2, 3, 4, 5, 15, 25, 35, 45]
    assert drawn.cuts_s == [5, 28]


def test_no_faces() -> None:
    drawn = chart_run(video(), 10, [40], [], [], bins=2)
    assert per_bin(drawn) == [(0, 0, 0), (5, 0, 0)]
    assert drawn.cuts_s == [4]
    assert drawn.face_size == []
    assert sum(b.count for b in drawn.confidence) == 0


def test_confidences() -> None:
    values = (0, 0.049, 0.05, 0.5, 0.9999, 1)
    drawn = chart_run(video(), 1, [], [face(0, conf=c) for c in values], [], bins=1)
    assert len(drawn.confidence) == 20
    assert {b.low: b.count for b in drawn.confidence if b.count > 0} == {
        0: 2, 0.05: 1, 0.5: 1, 0.95: 2
    }  # fmt: skip
    assert all(round(b.high - b.low, 6) == 0.05 for b in drawn.confidence)


def test_face_heights_are_pixels_of_the_video() -> None:
    rows = [face(0, height=h) for h in (0.0305, 0.0405, 0.2005)]
    drawn = chart_run(video(height=1000), 1, [], rows, [], bins=1)
    assert [(b.low, b.high, b.count) for b in drawn.face_size if b.count > 0] == [
        (30, 40, 1), (40, 50, 1), (200, 210, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("smallest", "largest", "first", "width", "count"),
    [
        (50, 50, 50, 1, 1),
        (41, 60, 41, 1, 20),
        (41, 61, 40, 2, 11),
        (0, 99, 0, 5, 20),
        (17, 1079, 0, 100, 11),
        (300, 700, 300, 50, 9),
    ],
)
def test_sizes_have_round_edges(
    smallest: int, largest: int, first: int, width: int, count: int
) -> None:
    heights = Counter({smallest: 3, largest: 4})
    drawn = size_bins(heights)
    assert [b.low for b in drawn] == [first + width * n for n in range(count)]
    assert all(b.high - b.low == width for b in drawn)
    assert sum(b.count for b in drawn) == heights.total()


def test_what_makes_no_sense_is_counted_as_unreadable() -> None:
    upside_down = face(0).model_copy(update={"bbox": (0.1, 0.9, 0.2, 0.1)})
    rows = [None, face(100), face(10**9), upside_down, face(50)]
    tracks = [None, span(50, 40), span(0, 100), span(0, 10**12), span(0, 99)]
    drawn = chart_run(video(), 50, [-5, 0, 100, 10**30, 50, 50], rows, tracks, bins=2)
    assert drawn.unreadable_rows == 4 + 4
    assert per_bin(drawn) == [(0, 0, 1), (5, 1, 1)]
    assert drawn.cuts_s == [5]


def test_times_that_go_back_are_not_believed() -> None:
    rows = [face(0, 0.0), face(50, 5.0), face(60, 1.0), face(20, 9.0), face(90, 9.0)]
    drawn = chart_run(video(), 10, [], rows, [], bins=10)
    starts = [b.start_s for b in drawn.faces]
    assert starts == sorted(starts) == [float(n) for n in range(10)]


def test_lines_that_hold_no_row(tmp_path: Path) -> None:
    good = face(3).model_dump_json().encode()
    lines = [
        good, b"", b"  ", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000,
        b'{"name": "foreign"}', good.replace(b'"conf":0.9', b'"conf":NaN'),
        good.replace(b'"conf":0.9', b'"conf":1e999'),
        good.replace(b'"frame_idx":3', b'"frame_idx":"3"'),
        good.replace(b'"frame_idx":3', b'"frame_idx":' + b"9" * 5000),
        good.replace(b'"track_id":null', b'"track_id":"../x"'), good, good[:40],
    ]  # fmt: skip
    path = tmp_path / "detections.jsonl"
    path.write_bytes(b"\n".join(lines))

    rows = list(read_rows(path, DetectionRow))

    assert rows == [face(3), *[None] * 11, face(3), None]
    assert list(read_rows(tmp_path / "nothing", DetectionRow)) == []


def test_many_rows_need_no_memory() -> None:
    def rows(count: int) -> Iterator[DetectionRow]:
        for number in range(count):
            yield face(number, conf=number % 100 / 100, height=number % 900 / 1000)

    peaks = []
    for count in (4_000, 20_000):
        tracemalloc.start()
        start = time.monotonic()
        drawn = chart_run(video(count), 1, range(0, 5000, 10), rows(count), [], bins=240)
        print(count, time.monotonic() - start)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(b.count for b in drawn.confidence) == count
    assert peaks[1] < 1.5 * peaks[0] + 100_000


# --- tracks in order --------------------------------------------------------------------------

TRACKS = [
    {"track_id": "a", "start_s": 5, "end_s": 6.0, "stats": {"detections": 9, "avg_conf": 0.7}},
    {"track_id": "b", "start_s": 1.0, "end_s": 9, "stats": {"detections": 3, "avg_conf": 0.9}},
    {"track_id": "c", "start_s": "x", "end_s": None, "stats": [1]},
    {"track_id": "d", "start_s": 3.0, "end_s": 4.0, "stats": {"detections": 3, "avg_conf": 0.8}},
    {"track_id": "e", "start_s": float("nan"), "stats": {"detections": True, "avg_conf": 10**400}},
]


def test_tracks_by_their_time_on_the_screen() -> None:
    """An interrupted one may be shorter than one of less time from first to last sighting."""
    rows = [{**TRACKS[0], "screen_s": 1.2}, {**TRACKS[1], "screen_s": 0.7}, TRACKS[3]]
    found = sorted_tracks(rows, "length", descending=True)
    assert "".join(row["track_id"] for row in found) == "adb"


@pytest.mark.parametrize(
    ("order", "rising", "falling"),
    [
        (None, "abcde", "edcba"),
        ("start", "bdace", "adbce"),
        ("length", "adbce", "badce"),  # equal ones stay in the file's order
        ("confidence", "adbce", "bdace"),
        ("detections", "bdace", "abdce"),
    ],
)
def test_tracks_in_order(order: object, rising: str, falling: str) -> None:
    for descending, expected in ((False, rising), (True, falling)):
        rows = sorted_tracks(iter(TRACKS), order, descending=descending)  # type: ignore[arg-type]
        assert "".join(row["track_id"] for row in rows) == expected
        assert all(row in TRACKS or row["track_id"] == "e" for row in rows)
