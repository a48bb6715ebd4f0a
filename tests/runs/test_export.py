"""Exports read back by other readers say what the rows say."""

from __future__ import annotations

import csv as csv_module
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import supervision

from apps.common.contracts import DetectionRow
from apps.runs.export import LANDMARKS, ExportedRun, chunks, coco, csv, mot, readable

RUN = ExportedRun("show-s01e01", "r1", width=1920, height=1080)
CLOSE = 0.01  # pixels


def row(frame: int, track: int | None, *, x: float = 0.25, conf: float = 0.9) -> DetectionRow:
    return DetectionRow(
        frame_idx=frame,
        ts_s=frame / 25,
        bbox=(x, 0.20123, x + 0.1, 0.45678),
        landmarks=(
            (x + 0.01, 0.3), (x + 0.05, 0.3), (x + 0.03, 0.35), (None, None), (x + 0.05, 0.4)
        ),
        conf=conf,
        track_id=None if track is None else f"track-{track:05d}",
    )  # fmt: skip


ROWS = [
    row(0, 1), row(0, 2, x=0.5), row(6, None, conf=0.5123), row(6, 1), row(12, 123_456, x=0.0),
]  # fmt: skip


def pixels(item: DetectionRow) -> list[float]:
    x1, y1, x2, y2 = item.bbox
    return [x1 * 1920, y1 * 1080, (x2 - x1) * 1920, (y2 - y1) * 1080]


def coco_text(rows: list[DetectionRow]) -> str:
    return "".join(coco(lambda: rows, RUN))


@pytest.mark.parametrize("untracked", [False, True])
def test_mot_by_a_plain_reader(untracked: bool) -> None:
    text = "".join(mot(ROWS, RUN, untracked=untracked))
    table = np.loadtxt(io.StringIO(text), delimiter=",")
    expected = [item for item in ROWS if untracked or item.track_id is not None]
    assert table.shape == (len(expected), 10)
    assert table[:, 0].tolist() == [item.frame_idx + 1 for item in expected]
    numbers = [-1 if i.track_id is None else int(i.track_id[6:]) for i in expected]
    assert table[:, 1].tolist() == numbers
    assert np.abs(table[:, 2:6] - [pixels(item) for item in expected]).max() < CLOSE
    assert table[:, 6] == pytest.approx([item.conf for item in expected], abs=1e-4)
    assert (table[:, 7:] == -1).all()
    assert text.splitlines()[0].endswith(",0.9000,-1,-1,-1")


def test_coco_has_what_the_format_asks_for() -> None:
    body = json.loads(coco_text(ROWS))
    assert set(body) == {"info", "licenses", "categories", "images", "annotations"}
    (category,) = body["categories"]
    assert (category["id"], category["name"]) == (1, "face")
    assert category["keypoints"] == list(LANDMARKS)
    assert all(1 <= end <= 5 for edge in category["skeleton"] for end in edge)
    assert [
        (i["file_name"], i["width"], i["height"], i["frame_idx"], i["ts_s"]) for i in body["images"]
    ] == [
        ("frame_000000.jpg", 1920, 1080, 0, 0.0),
        ("frame_000006.jpg", 1920, 1080, 6, 0.24),
        ("frame_000012.jpg", 1920, 1080, 12, 0.48),
    ]
    frames = {image["id"]: image["frame_idx"] for image in body["images"]}
    assert len(frames) == 3
    assert len({a["id"] for a in body["annotations"]}) == len(ROWS)
    for item, annotation in zip(ROWS, body["annotations"], strict=True):
        assert frames[annotation["image_id"]] == item.frame_idx
        assert annotation["bbox"] == pytest.approx(pixels(item), abs=CLOSE)
        assert annotation["area"] == pytest.approx(
            annotation["bbox"][2] * annotation["bbox"][3], abs=CLOSE
        )
        assert (annotation["iscrowd"], annotation["category_id"]) == (0, 1)
        assert (annotation["score"], annotation["num_keypoints"]) == (item.conf, 4)
        points = np.array(annotation["keypoints"]).reshape(5, 3)
        assert points[:, 2].tolist() == [2, 2, 2, 0, 2]
        assert points[3].tolist() == [0, 0, 0]
        x, y = item.landmarks[0]
        assert x is not None
        assert y is not None
        assert points[0, :2] == pytest.approx([x * 1920, y * 1080], abs=CLOSE)
    assert [a["track_id"] for a in body["annotations"]] == [1, 2, None, 1, 123_456]


def test_coco_by_supervision(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(coco_text(ROWS))
    dataset = supervision.DetectionDataset.from_coco(str(tmp_path), str(path))
    assert dataset.classes == ["face"]
    found = {Path(name).name: boxes for name, boxes in dataset.annotations.items()}
    for frame in (0, 6, 12):
        expected = [item for item in ROWS if item.frame_idx == frame]
        boxes = found[f"frame_{frame:06d}.jpg"].xyxy
        corners = [np.array(item.bbox) * [1920, 1080, 1920, 1080] for item in expected]
        assert np.abs(boxes - corners).max() < CLOSE


def test_csv_by_the_csv_module() -> None:
    text = "".join(csv(ROWS, RUN))
    table = list(csv_module.DictReader(io.StringIO(text, newline="")))
    assert len(table) == len(ROWS)
    for item, line in zip(ROWS, table, strict=True):
        assert (line["ep_id"], line["run_id"]) == ("show-s01e01", "r1")
        assert int(line["frame_idx"]) == item.frame_idx
        assert float(line["ts_s"]) == item.ts_s
        assert line["track_id"] == ("" if item.track_id is None else item.track_id)
        corners = [float(line[name]) for name in ("x1", "y1", "x2", "y2")]
        x1, y1, x2, y2 = item.bbox
        assert corners == pytest.approx([x1 * 1920, y1 * 1080, x2 * 1920, y2 * 1080], abs=CLOSE)
        assert float(line["conf"]) == item.conf
        assert (line["left_mouth_x"], line["left_mouth_y"]) == ("", "")
        assert float(line["left_eye_x"]) == pytest.approx((x1 + 0.01) * 1920, abs=CLOSE)
        assert None not in line.values()
        assert all(value[:1] not in ("=", "+", "@", "\t") for value in line.values())


def test_a_run_without_faces() -> None:
    assert "".join(mot([], RUN, untracked=True)) == ""
    body = json.loads(coco_text([]))
    assert (body["images"], body["annotations"]) == ([], [])
    assert len("".join(csv([], RUN)).splitlines()) == 1


def test_torn_rows_and_frames_out_of_order_are_left_out() -> None:
    """A frame that came back would be an image twice."""
    rows = [row(6, 1), None, row(0, 2), row(6, 2), row(10**9, 3), row(99, 4), row(100, 5)]
    kept = list(readable(rows, frames=100))
    assert [item.frame_idx for item in kept] == [6, 6, 99]
    images = json.loads(coco_text(kept))["images"]
    assert len({image["id"] for image in images}) == len(images) == 2


def test_chunks_are_the_text() -> None:
    pieces = ["a" * 1000, "ö\n", ""] * 500
    found = list(chunks(pieces))
    assert b"".join(found).decode() == "".join(pieces)
    assert len(found) == 8
    assert list(chunks([])) == []


@pytest.mark.parametrize("format", ["mot", "coco", "csv"])
def test_many_rows_need_no_memory(format: str) -> None:
    def rows() -> Iterator[DetectionRow]:
        for number in range(30_000):
            yield row(number, number % 50 + 1)

    texts = {
        "mot": lambda: mot(rows(), RUN, untracked=False),
        "coco": lambda: coco(rows, RUN),
        "csv": lambda: csv(rows(), RUN),
    }
    tracemalloc.start()
    size = sum(len(chunk) for chunk in chunks(texts[format]()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 1_000_000
    assert peak < 1_000_000
