#!/usr/bin/env python3
"""The loop that people write today: read every frame, give every n-th to the detector and tracker.

OpenCV reads and scales, ONNX Runtime and ByteTrack have their defaults. The network, its picture's
size and what is made of its output are the product's, so that both look for the same faces. Started
by `lab.bench`, as a process of its own; the last line of its output is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import apps  # noqa: F401 - sets what ONNX Runtime reads when it is loaded

# isort: split
import cv2
import numpy as np
import onnxruntime as ort
import supervision as sv
from trackers import ByteTrackTracker

from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.centerface import decode_maps
from apps.pipeline.detect.suppress import suppress
from apps.pipeline.geometry import fit

# From a frame, shape (h, w, 3), BGR, to boxes in its pixels, shape (n, 4), and confidences.
Detect = Callable[[ByteArray], tuple[FloatArray, FloatArray]]


def main() -> int:
    arguments = parser().parse_args()
    load = load_insightface if arguments.insightface else load_centerface
    frames, detections = run(arguments, load(arguments))
    print(json.dumps({"frames_done": frames, "detections": detections}))
    return 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--video", type=Path, required=True)
    p.add_argument("--stride", type=int, required=True)
    p.add_argument("--model", type=Path, required=True, help="prepared ONNX file")
    p.add_argument("--insightface", action="store_true", help="the model is InsightFace's")
    p.add_argument("--det-size", type=int, required=True)
    p.add_argument("--det-thresh", type=float, required=True)
    p.add_argument("--nms-iou", type=float, required=True)
    p.add_argument("--out", type=Path, required=True, help="JSON lines, one face each")
    return p


def run(arguments: argparse.Namespace, detect: Detect) -> tuple[int, int]:
    """Returns the number of processed frames and of faces."""
    tracker = ByteTrackTracker()
    capture = cv2.VideoCapture(str(arguments.video))
    rate = capture.get(cv2.CAP_PROP_FPS)
    index = processed = faces = 0
    with arguments.out.open("w") as out:
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            if index % arguments.stride == 0:
                boxes, conf = detect(frame)
                tracked = tracker.update(sv.Detections(xyxy=boxes, confidence=conf))
                write(out.write, tracked, index, index / rate)
                processed += 1
                faces += len(conf)
            index += 1
    capture.release()
    return processed, faces


def write(line: Callable[[str], int], found: sv.Detections, index: int, seconds: float) -> None:
    for box, conf, track in zip(found.xyxy, found.confidence, found.tracker_id, strict=True):
        face = {
            "frame_idx": index,
            "ts_s": seconds,
            "bbox": box.tolist(),
            "conf": float(conf),
            "track_id": int(track),
        }
        line(json.dumps(face) + "\n")


def load_centerface(arguments: argparse.Namespace) -> Detect:
    session = ort.InferenceSession(str(arguments.model))
    name = session.get_inputs()[0].name

    def detect(frame: ByteArray) -> tuple[FloatArray, FloatArray]:
        place = fit(frame.shape[1], frame.shape[0], arguments.det_size)
        small = cv2.resize(frame, (place.inner_width, place.inner_height))
        below = place.canvas_height - place.inner_height
        right = place.canvas_width - place.inner_width
        image = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT)
        blob = cv2.dnn.blobFromImage(image, swapRB=True)
        heat, scale, offset, landmarks = session.run(None, {name: blob})
        faces = decode_maps(heat[0, 0], scale[0], offset[0], landmarks[0], arguments.det_thresh)
        faces = suppress(faces, arguments.det_thresh, arguments.nms_iou)
        return faces.boxes * (frame.shape[1] / place.inner_width), faces.conf

    return detect


def load_insightface(arguments: argparse.Namespace) -> Detect:
    """As InsightFace's own FaceAnalysis does it: a square picture, ONNX Runtime's defaults."""
    from insightface.model_zoo import get_model

    model = get_model(str(arguments.model), providers=["CPUExecutionProvider"])
    size = getattr(model, "input_size", None) or (arguments.det_size, arguments.det_size)
    model.prepare(
        -1, input_size=size, det_thresh=arguments.det_thresh, nms_thresh=arguments.nms_iou
    )

    def detect(frame: ByteArray) -> tuple[FloatArray, FloatArray]:
        found, _ = model.detect(frame)
        return found[:, :4].astype(np.float32), found[:, 4].astype(np.float32)

    return detect


if __name__ == "__main__":
    sys.exit(main())
