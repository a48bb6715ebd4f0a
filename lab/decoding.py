"""What `decode: fast` saves, codec by codec, and what it costs in found faces.

Each video is encoded once for a codec. Its samples are decoded exactly and fast, in turns, by one
thread; CPU is the median of the rounds. Then the detector looks at both, and what it finds in the
fast ones is compared with what it finds in the exact ones.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.common.config import model_registry
from apps.common.contracts.manifest import Agreement
from apps.common.errors import ScreenalyticsError
from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.detect import Detector, DetectorRequest, make_detector
from apps.pipeline.detect.agreement import compare
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.session import CPU
from lab import arguments as values
from lab.benchmark.inputs import ENCODERS, encoded, read_source

DETECTOR, DET_SIZE = "centerface", 640
HEAD = ("video", "codec", "exact, ms", "fast over exact", "difference", "faces", "found", "right")


@dataclass(frozen=True)
class Cost:
    """Of one video in one codec.

    Args:
        exact_ms, fast_ms: CPU of decoding and scaling a sample.
        difference: mean of all pixels of the samples as the detector sees them, 0..255.
        faces: in fast samples, against exact ones.
    """

    exact_ms: float
    fast_ms: float
    difference: float
    faces: Agreement

    def cells(self) -> tuple[str, ...]:
        return (
            f"{self.exact_ms:.1f}",
            f"{self.fast_ms / self.exact_ms:.2f}",
            f"{self.difference:.2f}",
            str(self.faces.faces),
            f"{self.faces.recall:.3f}",
            f"{self.faces.precision:.3f}",
        )


def measure(path: Path, detector: Detector, stride: int, rounds: int) -> Cost:
    """Decodes both ways, `rounds` times, and detects once.

    Raises:
        ScreenalyticsError: the video cannot be read.
    """
    spent: dict[bool, list[float]] = {False: [], True: []}
    pictures: dict[bool, list[ByteArray]] = {}
    for _ in range(rounds):
        for fast in (False, True):
            pictures[fast], seconds = _samples(path, stride, detector.letterbox, fast=fast)
            spent[fast].append(1000 * seconds / len(pictures[fast]))
    pairs = list(zip(pictures[False], pictures[True], strict=True))
    difference = np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in pairs])
    exact = iter([detector.detect(image) for image in pictures[False]])
    faces = compare(lambda _: next(exact), detector.detect, pictures[True])
    cost = {fast: statistics.median(times) for fast, times in spent.items()}
    return Cost(cost[False], cost[True], float(difference), faces)


def _samples(
    path: Path, stride: int, box: Letterbox, *, fast: bool
) -> tuple[list[ByteArray], float]:
    """The samples, and what they cost, seconds of CPU; opening the video is left out."""
    with open_video(path, threads=1, fast=fast) as video:
        start = time.process_time()
        pictures = [frame.image for frame in video.frames(stride, box)]
        return pictures, time.process_time() - start


def _detector(path: Path, cache: Path) -> Detector:
    with open_video(path, threads=1) as video:
        facts = video.facts
    request = DetectorRequest(
        width=facts.width,
        height=facts.height,
        det_size=DET_SIZE,
        det_thresh=model_registry().detectors[DETECTOR].det_thresh,
        provider=CPU,
        threads=2,
    )
    return make_detector(DETECTOR, request, cache=cache)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    p.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    p.add_argument("--codecs", type=values.names, default=list(ENCODERS), metavar="C,C")
    p.add_argument("--stride", type=values.positive, default=6, metavar="N", help="default 6")
    p.add_argument("--rounds", type=values.positive, default=3, metavar="N", help="default 3")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of caches")
    arguments = p.parse_args()
    unknown = set(arguments.codecs) - set(ENCODERS)
    if unknown:
        p.error(f"--codecs {', '.join(sorted(unknown))}: give some of {', '.join(ENCODERS)}")
    cache = Layout(Settings.read(data_root=arguments.data_root).data_root.resolve()).cache
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    try:
        for video in arguments.videos:
            source, detector = read_source(video), _detector(video, cache)
            for codec in arguments.codecs:
                path = encoded(source, codec, source.height, cache / "benchmark")
                cost = measure(path, detector, arguments.stride, arguments.rounds)
                print(f"| {' | '.join((video.stem, codec, *cost.cells()))} |", flush=True)
    except ScreenalyticsError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
