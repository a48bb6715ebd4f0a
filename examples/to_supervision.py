"""A run's results as `supervision.Detections`, and the frame with the most faces drawn by it.

python examples/to_supervision.py data/manifests/test-ep/runs/RUN_ID --video test.mp4

Needs the package supervision, and no service.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import supervision as sv

NO_TRACK = -1


def frames(run: Path) -> Iterator[tuple[int, sv.Detections]]:
    """Each processed frame that has faces: its number, and its faces in pixels.

    `tracker_id` is the number of the track, -1 for a face of none; `data["ts_s"]` is the time.
    """
    video = json.loads((run / "run.json").read_text())["video"]
    scale = np.array([video["width"], video["height"]] * 2)
    with (run / "detections.jsonl").open() as lines:
        for index, faces in groupby(map(json.loads, lines), lambda face: int(face["frame_idx"])):
            yield index, of_frame(list(faces), scale)


def of_frame(faces: list[dict[str, Any]], scale: np.ndarray) -> sv.Detections:
    """The faces of one frame; `scale` is width, height, width, height in pixels."""
    return sv.Detections(
        xyxy=np.array([face["bbox"] for face in faces]) * scale,
        confidence=np.array([face["conf"] for face in faces]),
        tracker_id=np.array([number(face["track_id"]) for face in faces]),
        data={"ts_s": np.array([face["ts_s"] for face in faces])},
    )


def number(track_id: str | None) -> int:
    """The number in `track-00001`."""
    return NO_TRACK if track_id is None else int(track_id.removeprefix("track-"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws a run's fullest frame with supervision.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--video", type=Path, required=True, help="the episode's video")
    parser.add_argument("--out", type=Path, default=Path("faces.png"), help="picture to write")
    arguments = parser.parse_args()
    index, faces = max(frames(arguments.run), key=lambda frame: len(frame[1]))
    picture = next(sv.get_video_frames_generator(str(arguments.video), start=index, end=index + 1))
    by_track = sv.ColorLookup.TRACK
    picture = sv.BoxAnnotator(color_lookup=by_track).annotate(picture, faces)
    labels = [f"#{track}" for track in faces.tracker_id]
    picture = sv.LabelAnnotator(color_lookup=by_track).annotate(picture, faces, labels)
    cv2.imwrite(str(arguments.out), picture)
    print(f"frame {index}: {len(faces)} faces, drawn in {arguments.out}")


if __name__ == "__main__":
    main()
