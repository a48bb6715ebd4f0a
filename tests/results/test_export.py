"""Exports read back by other readers say what the rows say."""

from __future__ import annotations

import csv as csv_module
import io
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import supervision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trackers.io.mot import load_mot_file

from apps.common.contracts.rows import DetectionRow
from apps.results.cvat import cvat
from apps.results.export import LANDMARKS, ExportedRun, chunks, coco, csv, mot, readable
from lab.evaluation.ground_truth import read_ground_truth

RUN = ExportedRun("show-s01e01", "r1", width=1920, height=1080, frames=20, stride=6)
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


def test_mot_by_the_trackers_library(tmp_path: Path) -> None:
    path = tmp_path / "mot.txt"
    path.write_text("".join(mot(ROWS, RUN, untracked=False)))
    found = load_mot_file(path)
    tracked = [item for item in ROWS if item.track_id is not None]
    assert sorted(found) == [1, 7, 13]
    for frame, rows in found.items():
        expected = [item for item in tracked if item.frame_idx + 1 == frame]
        assert rows.ids.tolist() == [int(str(item.track_id)[6:]) for item in expected]
        assert np.abs(rows.boxes - [pixels(item) for item in expected]).max() < CLOSE
        assert rows.confidences == pytest.approx([item.conf for item in expected], abs=1e-4)


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


# --- CVAT -------------------------------------------------------------------------------------


def cvat_document(rows: list[DetectionRow], run: ExportedRun = RUN) -> ElementTree.Element:
    return ElementTree.fromstring("".join(cvat(rows, run)).encode())


def places(track: ElementTree.Element) -> list[tuple[int, str]]:
    return [(int(box.attrib["frame"]), box.attrib["outside"]) for box in track]


def test_cvat_has_what_the_format_asks_for() -> None:
    root = cvat_document(ROWS)
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    task = root.find("meta/task")
    assert task is not None
    wanted = {
        "name": "show-s01e01 r1", "size": "20", "mode": "interpolation", "start_frame": "0",
        "stop_frame": "19", "labels/label/name": "face",
        "labels/label/attributes/attribute/name": "track_id",
        "original_size/width": "1920", "original_size/height": "1080",
    }  # fmt: skip
    assert {name: task.findtext(name) for name in wanted} == wanted
    tracks = root.findall("track")
    assert [(t.get("id"), t.get("label")) for t in tracks] == [
        ("0", "face"), ("1", "face"), ("123455", "face"),
    ]  # fmt: skip
    box = tracks[0][0]
    assert box.attrib == {
        "frame": "0", "xtl": "480.000", "ytl": "217.328", "xbr": "672.000", "ybr": "493.322",
        "outside": "0", "occluded": "0", "keyframe": "1", "z_order": "0",
    }  # fmt: skip
    named = [box.findtext("attribute[@name='track_id']") for track in tracks for box in track]
    assert list(dict.fromkeys(named)) == ["track-00001", "track-00002", "track-123456"]


@pytest.mark.parametrize(
    ("seen", "drawn"),
    [
        ([0, 6], [(0, "0"), (6, "0"), (12, "1")]),
        ([0, 12], [(0, "0"), (6, "1"), (12, "0"), (18, "1")]),
        ([0, 18], [(0, "0"), (6, "1"), (18, "0")]),  # no processed frame comes after 18
        ([6], [(6, "0"), (12, "1")]),
        ([0, 4, 14], [(0, "0"), (4, "0"), (6, "1"), (14, "0"), (18, "1")]),  # off the grid
        ([6, 6, 6], [(6, "0"), (12, "1")]),  # a damaged file's: CVAT has one box a frame
    ],
)
def test_cvat_shows_no_face_where_none_was_seen(
    seen: list[int], drawn: list[tuple[int, str]]
) -> None:
    (track,) = cvat_document([row(frame, 1) for frame in seen]).iter("track")
    assert places(track) == drawn
    hidden = {
        box.get("xtl"): before.get("xtl")
        for before, box in itertools.pairwise(track)
        if box.get("outside") == "1"
    }
    assert all(before == own for own, before in hidden.items())


def test_cvat_escapes_names() -> None:
    name = "<a> & 'b' \"c\" ]]> é"
    run = replace(RUN, ep_id=name)
    assert cvat_document([], run).findtext("meta/task/name") == f"{name} r1"


SIDE = st.floats(0, 1)
SPANS = st.tuples(SIDE, SIDE).map(sorted).filter(lambda span: span[1] - span[0] >= 0.05)


@st.composite
def synthetic(draw: st.DrawFn) -> tuple[list[DetectionRow], ExportedRun]:
    """Rows in the order of frames, each track once in a frame at most."""
    stride, sampled = draw(st.integers(1, 30)), draw(st.integers(1, 12))
    size = st.integers(1, 8192)
    run = ExportedRun("e", "r", draw(size), draw(size), sampled * stride, stride)
    numbers = st.sets(st.integers(1, 10**12 - 1) | st.integers(1, 4), max_size=4)
    rows = []
    for frame in range(0, run.frames, stride):
        for number in [*sorted(draw(numbers)), *[None] * draw(st.integers(0, 1))]:
            (left, right), (top, bottom) = draw(SPANS), draw(SPANS)
            item = row(frame, number)
            rows.append(item.model_copy(update={"bbox": (left, top, right, bottom)}))
    return rows, run


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(synthetic())
def test_cvat_and_mot_read_back_are_the_rows(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[list[DetectionRow], ExportedRun]
) -> None:
    rows, run = drawn
    size = np.array([run.width, run.height] * 2)
    tracked = [item for item in rows if item.track_id is not None]
    path = tmp_path_factory.getbasetemp() / "exported"
    for text in ("".join(cvat(rows, run)), "".join(mot(rows, run, untracked=False))):
        path.write_text(text)
        read = read_ground_truth(path)
        assert not any(len(items) for items in read.ignored.values())
        boxes = {
            (frame, number): corners
            for frame, items in read.faces.items()
            for number, corners in zip(items.ids.tolist(), items.boxes, strict=True)
        }
        expected = {(i.frame_idx, int(str(i.track_id)[6:])): np.array(i.bbox) for i in tracked}
        assert boxes.keys() == expected.keys()
        for key, corners in expected.items():
            assert np.abs(boxes[key] - corners * size).max() < CLOSE


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(synthetic())
def test_cvat_draws_faces_on_their_frames_only(
    drawn: tuple[list[DetectionRow], ExportedRun],
) -> None:
    """CVAT shows a box until the next one: of the processed frames these are the rows'."""
    rows, run = drawn
    shown = set()
    for track in cvat_document(rows, run).iter("track"):
        boxes = [*places(track), (run.frames, "1")]
        assert [frame for frame, _ in boxes] == sorted({frame for frame, _ in boxes})
        for (frame, outside), (following, _) in itertools.pairwise(boxes):
            if outside == "0":
                number = int(track.attrib["id"]) + 1
                shown |= {(f, number) for f in range(frame, following, run.stride)}
    assert shown == {(i.frame_idx, int(i.track_id[6:])) for i in rows if i.track_id is not None}


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
    assert cvat_document([]).findall("track") == []


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


@pytest.mark.parametrize(
    ("format", "count"), [("mot", 12_000), ("coco", 3_000), ("csv", 6_000), ("cvat", 6_000)]
)
def test_many_rows_need_no_memory(format: str, count: int) -> None:
    """CVAT's tracks come one after the other: it holds five numbers a row."""
    limit = 500_000 + (count * 45 if format == "cvat" else 0)
    some = [row(0, track + 1) for track in range(50)]

    def rows() -> Iterator[DetectionRow]:
        for number in range(count):
            yield some[number % 50].model_copy(update={"frame_idx": number})

    run = replace(RUN, frames=count)
    texts = {
        "cvat": lambda: cvat(rows(), run),
        "mot": lambda: mot(rows(), RUN, untracked=False),
        "coco": lambda: coco(rows, RUN),
        "csv": lambda: csv(rows(), RUN),
    }
    tracemalloc.start()
    size = sum(len(chunk) for chunk in chunks(texts[format]()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 600_000
    assert peak < limit
