"""How ways to find small faces are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lab.evaluation.rows import Rows
from lab.evaluation.small_faces import HEADER, Material, Score, judged, read_marks


def rows(*boxes: tuple[float, float, float, float]) -> Rows:
    return Rows(np.arange(len(boxes)), np.array(boxes, float).reshape(-1, 4), np.ones(len(boxes)))


def test_a_box_on_an_ignored_face_counts_neither_way() -> None:
    faces, ignored = {0: rows((0, 0, 10, 10), (50, 0, 60, 10))}, {0: rows((100, 0, 120, 20))}
    material = Material("x", Path("x"), faces, ignored, frozenset({0}), 0.4)
    boxes = rows((1, 1, 10, 10), (101, 1, 119, 19), (200, 0, 210, 10))
    hits, false = judged(material, 0, boxes)
    assert hits.tolist() == [True, False]
    assert false == 1
    assert judged(material, 0, rows())[0].tolist() == [False, False]
    assert judged(material, 7, boxes)[1] == 3  # a frame without faces


def test_a_row_counts_by_height() -> None:
    heights = np.array([10.0, 15.9, 16.0, 40.0])
    score = Score(heights, np.array([True, False, True, True]), 1, 0.08)
    row = score.row("way", 0.04)
    assert row == ["way", "1 of 2", "1 of 1", "", "1 of 1", "1", "0.750", "80.0", "2.00"]
    assert len(row) == len(HEADER)


def test_marks_are_read_by_column(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text(
        "frame,identity,person,x1,y1,x2,y2,ignore,source\n"
        "3,1,a,1,2,11,22,0,by-eye\n3,2,b,5,5,9,9,1,by-eye\n6,2,b,5,5,9,9,1,by-eye\n"
    )
    faces, ignored, frames = read_marks(path)
    assert faces[3].boxes.tolist() == [[1, 2, 11, 22]]
    assert sorted(ignored) == [3, 6]
    assert frames == {3, 6}
