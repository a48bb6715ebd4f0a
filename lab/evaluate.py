"""How good are the tracks? `python -m lab.evaluate --strides 1,6,12`.

Four ways to ask:

- The evaluation episodes (or any generated ones, with `--episode FOLDER`): this product beside the
  library's ByteTrack with its defaults. Missing episodes are rendered first; what the detector
  found in a picture is remembered, so a second evaluation takes a few minutes.
- `--video FILE` with `--gt FILE`, `--shots FILE` or both: the same on a real video.
- `--run RUN_FOLDER` with `--gt FILE`, `--shots FILE` or both: a completed run.
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
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import Progress

from apps.common.errors import InvalidInput, ScreenalyticsError
from apps.common.options import SmallFaces
from lab.evaluation import arguments as values
from lab.evaluation import existing_run, real_report, report, tracker_only
from lab.evaluation.errors import IdentityError
from lab.evaluation.evaluate_episodes import (
    PRODUCT,
    Episode,
    Measure,
    Result,
    evaluate_all,
    in_order,
)
from lab.evaluation.ground_truth import GroundTruth, read_ground_truth
from lab.evaluation.real import Clip, evaluate_clip
from lab.evaluation.real_clips import IOU as MARKED_IOU
from lab.evaluation.sheet import Sheet, write_sheet
from lab.evaluation.shot_truth import Shots, read_shots
from lab.make_evaluation_set import DEFAULT_FOLDER, render_missing
from lab.scenes.evaluation_set import SEEDS
from lab.scenes.library import entries

RENDERED_IOU = 0.5
FILE_WIDTH = 260  # columns of the tables where no terminal says how many it has
OTHERS = "other"  # the set of episodes that are given by folder


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parsed(argv)
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    try:
        if arguments.detections is not None:
            _evaluate_alone(arguments, console)
        elif arguments.run is not None:
            _evaluate_run(arguments, console)
        elif arguments.video is not None:
            _evaluate_video(arguments, console)
        else:
            _evaluate_episodes(arguments, console)
    except ScreenalyticsError as error:
        print(f"error: {error.detail} {'' if error.hint is None else error.hint}", file=sys.stderr)
        return error.exit_code
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _evaluate_episodes(arguments: argparse.Namespace, console: Console) -> None:
    measure = Measure(
        arguments.strides,
        arguments.iou,
        arguments.strict,
        arguments.data / "cache",
        sheets=arguments.out if arguments.errors else None,
    )
    episodes = [Episode(OTHERS, folder.name, folder) for folder in arguments.episode] or _generated(
        arguments
    )
    results = in_order(episodes, _with_progress(episodes, measure, arguments.jobs))
    for table in report.tables(results, measure):
        console.print(table)
    console.print(report.METHOD)
    errors = [
        (f"{result.set_name} {result.label}, stride {result.stride}", error)
        for result in results
        for error in result.errors
    ]
    if arguments.errors or len(errors) <= real_report.FEW:
        _print_errors(console, errors, arguments)
    for path in report.save(results, measure, arguments.out):
        console.print(str(path))


def _generated(arguments: argparse.Namespace) -> list[Episode]:
    wanted = list(entries(tuple(arguments.sets or SEEDS), tuple(arguments.only)))
    render_missing(wanted, arguments.data)
    return [Episode.of(entry, arguments.data) for entry in wanted]


def _with_progress(episodes: list[Episode], measure: Measure, jobs: int) -> Iterator[Result]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("evaluating", total=len(episodes))
        for results in evaluate_all(episodes, measure, jobs):
            bar.update(task, advance=1, description=f"evaluated {results[0].name}")
            yield from results


def _evaluate_alone(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.gt is None:
        raise InvalidInput("There is no ground truth.", hint="Give it with --gt FILE.")
    given = tracker_only.Given(
        arguments.detections, arguments.gt, arguments.fps, arguments.size, arguments.marked_every
    )
    for contest in tracker_only.contests(given, arguments.strides, arguments.iou):
        console.print(tracker_only.table(contest, arguments.iou))


def _evaluate_run(arguments: argparse.Namespace, console: Console) -> None:
    faces, shots = _marked(arguments)
    run = existing_run.read_finished(arguments.run)
    judged = existing_run.judge_run(run, faces, shots, arguments.iou, strict=arguments.strict)
    name = arguments.run.name
    if faces is not None:
        console.print(existing_run.table(judged, arguments.iou))
        console.print(" ".join(filter(None, (faces.note, existing_run.counted(judged)))))
    if judged.cuts is not None:
        console.print(real_report.cut_table(f"{name}: cuts", [(name, judged.cuts)]))
    _print_errors(console, [(name, error) for error in judged.errors], arguments)
    if faces is not None and (arguments.errors or arguments.video is not None):
        video = _video_of(run, arguments.video, console)
        _draw([judged.sheet(video)], name, console, arguments)


def _video_of(run: existing_run.FinishedRun, given: Path | None, console: Console) -> Path | None:
    """The video that a run's errors are drawn on."""
    if given is not None:
        return existing_run.checked_video(run, given)
    try:
        return existing_run.video_of(run)
    except ScreenalyticsError as error:
        console.print(
            f"Errors are drawn on an empty ground, since the run's video is not at hand: "
            f"{error.detail} Give it with --video FILE."
        )
        return None


def _evaluate_video(arguments: argparse.Namespace, console: Console) -> None:
    faces, shots = _marked(arguments)
    clip = Clip(arguments.video.stem, arguments.video, faces, shots)
    results = evaluate_clip(
        clip,
        arguments.strides,
        arguments.iou,
        arguments.data / "cache",
        strict=arguments.strict,
        small_faces=arguments.small_faces,
    )
    note = "" if faces is None else faces.note
    if arguments.small_faces != "off":
        note = f"{note} The product runs with small_faces {arguments.small_faces}.".lstrip()
    for table in real_report.tables(results, arguments.iou, note):
        console.print(table)
    errors = [(f"stride {r.stride}", error) for r in results for error in r.errors.get(PRODUCT, ())]
    _print_errors(console, errors, arguments)
    console.print(str(real_report.save(results, arguments.iou, note, arguments.out)))
    sheets = [result.sheet(with_pictures=True) for result in results]
    _draw(sheets, clip.name, console, arguments)


def _draw(sheets: list[Sheet], name: str, console: Console, arguments: argparse.Namespace) -> None:
    picture = write_sheet(sheets, arguments.out / f"errors-{name}.png")
    if picture is not None:
        console.print(str(picture))


def _print_errors(
    console: Console, errors: list[tuple[str, IdentityError]], arguments: argparse.Namespace
) -> None:
    limit = None if arguments.errors else real_report.FEW
    table = real_report.error_table("Identity errors of the product", errors, limit)
    if table is not None:
        console.print(table)


def _marked(arguments: argparse.Namespace) -> tuple[GroundTruth | None, Shots | None]:
    """The faces and the shots that were given."""
    if arguments.gt is None and arguments.shots is None:
        raise InvalidInput(
            "There is no ground truth.",
            hint="Give faces with --gt FILE, or cuts with --shots FILE.",
        )
    return (
        None if arguments.gt is None else read_ground_truth(arguments.gt, arguments.marked_every),
        None if arguments.shots is None else read_shots(arguments.shots),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
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
    add("--data", type=Path, default=DEFAULT_FOLDER, help="evaluation episodes and caches")
    add("--out", type=Path, default=DEFAULT_FOLDER / "report", help="folder for JSON and picture")
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
        help="the product's option, for --video (default: off)",
    )
    add("--gt", type=Path, metavar="FILE", help="marked faces for those three: MOT or CVAT")
    add("--shots", type=Path, metavar="FILE", help="marked cuts for --video or --run: CSV")
    add(
        "--marked-every", type=values.positive, metavar="N", help="--gt marks every N-th frame only"
    )
    add("--errors", action="store_true", help="list every identity error, and draw each")
    add("--fps", type=values.fps, default=25.0, help="of the video of --detections (default 25)")
    add("--size", type=values.size, metavar="WxH", help="of its picture (default: edges of boxes)")
    return parser


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(argv)
    is_video = arguments.video is not None and arguments.run is None
    if arguments.small_faces != "off" and not is_video:
        parser.error("--small-faces needs --video without --run: only there the product is run")
    if arguments.iou is None:
        is_marked = arguments.run is not None or arguments.video is not None
        arguments.iou = MARKED_IOU if is_marked and arguments.detections is None else RENDERED_IOU
    return arguments


if __name__ == "__main__":
    sys.exit(main())
