"""What a processed frame costs, beside what users write and beside the limit: `make bench`.

Long videos are made from a short one by copying its packets; one encode makes the smaller sizes.
Every system runs in a process of its own, from start-up to end: `plain`, the loop that people write
today; `product`, `tools/episode_run.py`; and `limit`, decoding and inference alone. Rounds are
interleaved and start with another system each, so that a machine that warms up or gets busy hits
all alike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab import arguments as values
from lab.benchmark.cases import FULL_FRAMES, QUICK_FRAMES, VARIANTS


def main() -> int:
    arguments = parser().parse_args()

    from lab.benchmark.command import run  # loads all libraries, which --help needs not

    return run(arguments)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    p.add_argument("--video", type=Path, metavar="FILE", help="short video to make long ones from")
    p.add_argument(
        "--frames", type=values.positive, metavar="N", help=f"at least, or {FULL_FRAMES}"
    )
    p.add_argument(
        "--codecs", type=values.names, metavar="C,C", help="such as h264,hevc,av1; default its own"
    )
    p.add_argument("--strides", type=values.numbers, metavar="N,N", help="default 1,6,12")
    p.add_argument("--heights", type=values.numbers, metavar="N,N", help="default 360,720,1080")
    p.add_argument("--threads", type=values.numbers, default=[2], metavar="N,N", help="default 2")
    p.add_argument("--rounds", type=values.positive, default=3, metavar="N", help="default 3")
    p.add_argument(
        "--variants",
        type=values.names,
        default=[],
        metavar="V,V",
        help=f"some of {','.join(VARIANTS)}",
    )
    p.add_argument(
        "--detector-model", type=Path, metavar="FILE", help="weights of the variants' detector"
    )
    p.add_argument(
        "--retinaface-model",
        type=Path,
        metavar="FILE",
        help="InsightFace's detector (.onnx): measures its loop and the product with it as well",
    )
    p.add_argument(
        "--quick", action="store_true", help=f"{QUICK_FRAMES} frames, stride 6, largest size"
    )
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of caches and results")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: <data root>/benchmarks/<time>")
    return p


if __name__ == "__main__":
    sys.exit(main())
