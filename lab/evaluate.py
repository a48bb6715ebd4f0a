"""How good are the tracks? `python -m lab.evaluate --strides 1,6,12`.

Five ways to ask:

- The evaluation episodes (or any generated ones, with `--episode FOLDER`): this product beside the
  library's ByteTrack with its defaults. Missing episodes are rendered first; what the detector
  found in a picture is remembered, so a second evaluation takes a few minutes.
- `--video FILE` with `--gt FILE`, `--shots FILE` or both: the same on a real video.
- `--run RUN_FOLDER` with `--gt FILE`, `--shots FILE` or both: a completed run.
- `--people`: who is who, on rendered episodes in which people come back in other photos, and on
  marked clips, as far as the folder of test data has them (SCREENALYTICS_TEST_DATA).
- `--detections FILE --gt FILE`: the trackers alone, on detections in MOT format.

Marked faces (`--gt`): a MOT file, or the XML of "CVAT for video 1.1" with tracks labelled `face`.
Faces that need not be found, and whose finding is no mistake: rows of a MOT file with 0 in column
7; in CVAT boxes with the attribute `ignore` set to true, and tracks that are labelled `ignore`.
Where only every n-th frame is marked, only those are scored: CVAT's frame step says so, of other
files `--marked-every N`, or all rows lie on multiples of n.

Marked shots (`--shots`) are a CSV file with the columns start,end,kind; frames count from 0. Of a
`cut`, start and end are the first frame of the new shot; `dissolve`, `fade`, `wipe` and `gradual`
are gradual changes from start to end. A cut is right at the first sampled frame at or after it, in
a gradual change any place is right. Changes share no frame.

Identity errors: a takeover is a track that goes on with another face, a split a face that goes on
in a new track. They are listed where they are few, all of them with `--errors`, which also draws
each error's last right and first wrong sighting into the folder `--out`; with `--video` the picture
is drawn always. `--run` draws on the frames of its episode's video, or of `--video FILE`; where
there is none, on an empty ground.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from apps.common.config import model_registry
from apps.common.options import Decode, Precision, SmallFaces
from lab import arguments as values
from lab.arguments import MARKED_IOU, RENDERED_IOU
from lab.evaluation.variant import USUAL
from lab.paths import EVALUATION_DATA
from lab.scenes.seeds import SEEDS


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    arguments = _parsed(argv)

    from lab.evaluation.command import evaluate  # loads all libraries, which --help needs not

    return evaluate(arguments)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = p.add_argument
    add("--strides", type=values.strides, default=(1, 6, 12), help="default: 1,6,12")
    add(
        "--iou",
        type=values.overlap,
        help=f"least overlap of face and box, up to 1 (default: {RENDERED_IOU}; {MARKED_IOU} with "
        "--video or --run, since boxes drawn by hand are less exact)",
    )
    add("--strict", action="store_true", help="count faces of which less than half shows as wrong")
    add("--set", dest="sets", action="append", choices=list(SEEDS), help="default: all sets")
    add("--only", action="append", default=[], metavar="NAME", help="this episode; repeatable")
    add("--episode", action="append", default=[], type=Path, metavar="FOLDER", help="another one")
    add("--data", type=Path, default=EVALUATION_DATA, help="evaluation episodes and caches")
    add("--out", type=Path, default=EVALUATION_DATA / "report", help="folder for JSON and picture")
    add(
        "--jobs",
        type=values.positive,
        default=2,
        help="episodes at a time, one core each (default 2)",
    )
    add("--run", type=Path, metavar="RUN_FOLDER", help="a completed run, instead of episodes")
    add("--detections", type=Path, metavar="FILE", help="MOT detections, instead of episodes")
    add("--video", type=Path, metavar="FILE", help="a real video, instead of episodes; or --run's")
    add(
        "--small-faces",
        choices=get_args(SmallFaces),
        default="off",
        help="the product's option (default: off)",
    )
    add("--reuse-still", action="store_true", help="the product's option")
    add("--precision", choices=get_args(Precision), default="float32", help="the product's option")
    add("--decode", choices=get_args(Decode), default="exact", help="the product's option")
    add(
        "--detector",
        choices=list(model_registry().detectors),
        default=USUAL.detector,
        help="the product's option (default: %(default)s)",
    )
    add("--detector-model", type=Path, metavar="FILE", help="the detector's weights")
    add("--gt", type=Path, metavar="FILE", help="marked faces for those three: MOT or CVAT")
    add("--shots", type=Path, metavar="FILE", help="marked cuts for --video or --run: CSV")
    add(
        "--marked-every", type=values.positive, metavar="N", help="--gt marks every N-th frame only"
    )
    add("--people", action="store_true", help="who is who, instead of tracks")
    add("--errors", action="store_true", help="list every identity error, and draw each")
    add("--fps", type=values.fps, default=25.0, help="of the video of --detections (default 25)")
    add("--size", type=values.size, metavar="WxH", help="of its picture (default: edges of boxes)")
    return p


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    p = parser()
    arguments = p.parse_args(argv)
    if arguments.run is not None or arguments.detections is not None:
        only_run = ("precision", "small_faces", "reuse_still", "decode", "detector")
        for name in (*only_run, "detector_model"):
            if getattr(arguments, name) != p.get_default(name):
                p.error(f"--{name.replace('_', '-')} has no effect there: the product is not run")
    if arguments.iou is None:
        is_marked = arguments.run is not None or arguments.video is not None
        arguments.iou = MARKED_IOU if is_marked and arguments.detections is None else RENDERED_IOU
    return arguments


if __name__ == "__main__":
    sys.exit(main())
