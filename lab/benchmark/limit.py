#!/usr/bin/env python3
"""What a processed frame costs at the least: decoding what must be decoded, and bare inference.

Measured inside this process, after its imports and after the model is loaded: D, the decoder with
one thread and the scaling; and I, the network on one ready picture, as often as there are processed
frames, with the session options of the product and one thread, which takes the least CPU. Where the
product has more threads, so many do the same at once: cores that share memory are slower together.
Started by `lab.bench`; its output is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apps  # noqa: F401 - sets what ONNX Runtime reads when it is loaded

# isort: split
import cv2
import numpy as np
import onnxruntime as ort

from apps.common.options import sampled_count
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import Video, open_video
from apps.pipeline.geometry import Letterbox, fit
from apps.pipeline.inference.session import session_options

T = TypeVar("T")
_WARM_UP = 5  # inferences; the first ones allocate


def main() -> int:
    arguments = parser().parse_args()
    threads = arguments.threads
    with open_video(arguments.video, threads=1) as video:
        frames = sampled_count(video.facts.frames, arguments.stride)
        box = fit(video.facts.width, video.facts.height, arguments.det_size)
        decode, image = measured(lambda: last_picture(video, arguments.stride, box), threads)
    infer = inference(arguments.model, box, image)
    repeated(infer, _WARM_UP)
    bare, _ = measured(lambda: repeated(infer, frames), threads)
    print(json.dumps({"frames_done": frames, "decode": decode, "inference": bare}))
    return 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--video", type=Path, required=True)
    p.add_argument("--stride", type=int, required=True)
    p.add_argument("--model", type=Path, required=True, help="prepared ONNX file")
    p.add_argument("--det-size", type=int, required=True)
    p.add_argument("--threads", type=int, required=True)
    return p


def measured(work: Callable[[], T], threads: int) -> tuple[dict[str, float], T]:
    """Seconds of CPU and of wall clock for each of the threads that do the work; its result."""
    wall, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        results = [done.result() for done in [pool.submit(work) for _ in range(threads)]]
    cpu_seconds = (time.process_time() - cpu) / threads
    return {"cpu_seconds": cpu_seconds, "wall_seconds": time.monotonic() - wall}, results[0]


def last_picture(video: Video, stride: int, box: Letterbox) -> ByteArray:
    """Decodes and scales all sampled frames."""
    image = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    with video.again() as own:
        for frame in own.frames(stride, box):
            image = frame.image
    return image


def repeated(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def inference(model: Path, box: Letterbox, image: ByteArray) -> Callable[[], object]:
    dimensions = {"batch": 1, "height": box.canvas_height, "width": box.canvas_width}
    options = session_options(1, dimensions)
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: cv2.dnn.blobFromImage(image, swapRB=True)}
    return lambda: session.run(None, feed)


if __name__ == "__main__":
    sys.exit(main())
