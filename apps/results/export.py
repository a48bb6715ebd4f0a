"""Detections as files of other programs: MOT Challenge, COCO keypoints, CSV.

Pure: rows in, text out, line by line, so that a run of any size needs little memory. Places are
pixels of the picture as shown, from its upper left corner.

Formats: MOTChallenge (Milan et al., "MOT16", arXiv:1603.00831, table 5: results and detections);
COCO (https://cocodataset.org/#format-data, keypoint detection).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apps.common.contracts.rows import DetectionRow
from apps.common.names import frame_name, track_number

LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
_SKELETON = [[1, 3], [2, 3], [3, 4], [3, 5]]  # numbers of keypoints from 1, as COCO wants them
_VISIBLE = 2
_UNTRACKED = -1
_CHUNK_CHARACTERS = 65_536


@dataclass(frozen=True)
class ExportedRun:
    """What an export must know of its run.

    Args:
        ep_id, run_id: names.
        width, height: size of the picture as shown, pixels.
        frames: how many the video has.
        stride: frames from one processed frame to the next; the first one is frame 0.
    """

    ep_id: str
    run_id: str
    width: int
    height: int
    frames: int
    stride: int


def readable(rows: Iterable[DetectionRow | None], frames: int) -> Iterator[DetectionRow]:
    """Rows that can be exported: torn lines, and frames out of order or of no video, are not.

    Args:
        frames: how many the video has.
    """
    newest = 0
    for row in rows:
        if row is not None and newest <= row.frame_idx < frames:
            newest = row.frame_idx
            yield row


def mot(rows: Iterable[DetectionRow], run: ExportedRun, *, untracked: bool) -> Iterator[str]:
    """`frame,id,x,y,w,h,conf,-1,-1,-1`; frames count from 1.

    Args:
        untracked: with the faces of no track too, as id -1.
    """
    for row in rows:
        number = number_of_track(row)
        if number is None and not untracked:
            continue
        x, y, width, height = _xywh(row, run)
        track = _UNTRACKED if number is None else number
        yield (
            f"{row.frame_idx + 1},{track},{x:.3f},{y:.3f},{width:.3f},{height:.3f},"
            f"{row.conf:.4f},-1,-1,-1\n"
        )


def csv(rows: Iterable[DetectionRow], run: ExportedRun) -> Iterator[str]:
    """A header, then a line for each face. No value can hold a comma, a quote or a formula."""
    points = [f"{name}_{axis}" for name in LANDMARKS for axis in ("x", "y")]
    columns = ["ep_id", "run_id", "frame_idx", "ts_s", "track_id", "x1", "y1", "x2", "y2", "conf"]
    yield ",".join([*columns, *points]) + "\r\n"
    for row in rows:
        left, top, right, bottom = row.bbox
        corners = (left * run.width, top * run.height, right * run.width, bottom * run.height)
        values = [
            run.ep_id,
            run.run_id,
            str(row.frame_idx),
            f"{row.ts_s:.4f}",
            "" if row.track_id is None else row.track_id,
            *(f"{value:.3f}" for value in corners),
            f"{row.conf:.4f}",
            *(_csv_number(value) for point in _points(row, run) for value in point),
        ]
        yield ",".join(values) + "\r\n"


def coco(rows: Callable[[], Iterable[DetectionRow]], run: ExportedRun) -> Iterator[str]:
    """One JSON object: `info`, `categories`, `images` (frames that have faces), `annotations`.

    Args:
        rows: called twice: once for the images, once for the annotations.
    """
    yield f'{{"info": {json.dumps(_info(run))}, "licenses": [], "categories": '
    yield json.dumps([_CATEGORY]) + ', "images": ['
    yield from _joined(_images(rows(), run))
    yield '], "annotations": ['
    yield from _joined(_annotation(number, row, run) for number, row in enumerate(rows(), start=1))
    yield "]}\n"


def number_of_track(row: DetectionRow) -> int | None:
    return None if row.track_id is None else track_number(row.track_id)


def chunks(pieces: Iterable[str]) -> Generator[bytes]:
    """Pieces of text gathered to some 64 KB each, UTF-8."""
    gathered: list[str] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _CHUNK_CHARACTERS:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered).encode()


_CATEGORY = {
    "id": 1,
    "name": "face",
    "supercategory": "person",
    "keypoints": list(LANDMARKS),
    "skeleton": _SKELETON,
}


def _info(run: ExportedRun) -> dict[str, str]:
    return {
        "description": f"Faces of episode {run.ep_id}, run {run.run_id}; left and right as seen.",
        "version": "1.0",
    }


def _images(rows: Iterable[DetectionRow], run: ExportedRun) -> Iterator[dict[str, Any]]:
    last = -1
    for row in rows:
        if row.frame_idx == last:
            continue
        last = row.frame_idx
        yield {
            "id": _image_id(row),
            "file_name": frame_name(row.frame_idx),
            "width": run.width,
            "height": run.height,
            "frame_idx": row.frame_idx,
            "ts_s": row.ts_s,
        }


def _annotation(number: int, row: DetectionRow, run: ExportedRun) -> dict[str, Any]:
    x, y, width, height = (round(value, 3) for value in _xywh(row, run))
    keypoints: list[float] = []
    for point_x, point_y in _points(row, run):
        if point_x is None or point_y is None:
            keypoints += [0, 0, 0]
        else:
            keypoints += [round(point_x, 3), round(point_y, 3), _VISIBLE]
    return {
        "id": number,
        "image_id": _image_id(row),
        "category_id": _CATEGORY["id"],
        "bbox": [x, y, width, height],
        "area": round(width * height, 3),
        "segmentation": [],
        "iscrowd": 0,
        "keypoints": keypoints,
        "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
        "score": row.conf,
        "track_id": number_of_track(row),
    }


def _joined(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    separator = "\n"
    for item in items:
        yield separator + json.dumps(item)
        separator = ",\n"


def _image_id(row: DetectionRow) -> int:
    return row.frame_idx + 1  # some readers take 0 for none


def _xywh(row: DetectionRow, run: ExportedRun) -> tuple[float, float, float, float]:
    left, top, right, bottom = row.bbox
    return (
        left * run.width,
        top * run.height,
        (right - left) * run.width,
        (bottom - top) * run.height,
    )


def _points(row: DetectionRow, run: ExportedRun) -> list[tuple[float | None, float | None]]:
    return [
        (None if x is None else x * run.width, None if y is None else y * run.height)
        for x, y in row.landmarks
    ]


def _csv_number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
