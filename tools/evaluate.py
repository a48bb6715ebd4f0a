#!/usr/bin/env python3
"""How good are the tracks? `python tools/evaluate.py --strides 1,6,12`.

Three ways to ask:

- The evaluation episodes (or any generated ones, with `--episode FOLDER`): this product beside the
  library's ByteTrack with its defaults. Missing episodes are rendered first; what the detector
  found in a picture is remembered, so a second evaluation takes a few minutes.
- `--run RUN_FOLDER --gt FILE`: a run that is there already, against faces marked by hand.
- `--detections FILE --gt FILE`: the trackers alone, on detections in MOT format.

Ground truth (`--gt`) is a MOT file or the XML of "CVAT for video 1.1", with tracks labelled `face`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.progress import Progress

from apps.common.errors import InvalidInput, ScreenalyticsError
from tools.evaluation import alone, finished, report
from tools.evaluation.work import Episode, Measure, Result, evaluate_all, in_order
from tools.make_evaluation_set import DEFAULT_FOLDER, render_missing
from tools.synth.evaluation_set import SEEDS
from tools.synth.library import entries

FILE_WIDTH = 230  # columns of the tables where no terminal says how many it has
OTHERS = "other"  # the set of episodes that are given by folder


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    try:
        if arguments.detections is not None:
            _evaluate_alone(arguments, console)
        elif arguments.run is not None:
            _evaluate_run(arguments, console)
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
    measure = Measure(arguments.strides, arguments.iou, arguments.strict, arguments.data / "cache")
    episodes = [Episode(OTHERS, folder.name, folder) for folder in arguments.episode] or _generated(
        arguments
    )
    results = in_order(episodes, _with_progress(episodes, measure, arguments.jobs))
    for table in report.tables(results, measure):
        console.print(table)
    console.print(report.METHOD)
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
    given = alone.Given(arguments.detections, _truth_file(arguments), arguments.fps, arguments.size)
    for contest in alone.contests(given, arguments.strides, arguments.iou):
        console.print(alone.table(contest, arguments.iou))


def _evaluate_run(arguments: argparse.Namespace, console: Console) -> None:
    scores = finished.score_run(arguments.run, _truth_file(arguments), arguments.iou)
    console.print(finished.table(arguments.run.name, scores, arguments.iou))


def _truth_file(arguments: argparse.Namespace) -> Path:
    if arguments.gt is None:
        raise InvalidInput("There is no ground truth.", hint="Give it with --gt FILE.")
    truth: Path = arguments.gt
    return truth


def _strides(text: str) -> tuple[int, ...]:
    strides = tuple(sorted({int(part) for part in text.split(",")}))
    if strides[0] < 1:
        raise ValueError(text)
    return strides


def _size(text: str) -> tuple[int, int]:
    width, height = (int(part) for part in text.split("x"))
    return width, height


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--strides", type=_strides, default=(1, 6, 12), help="default: 1,6,12")
    add("--iou", type=float, default=0.5, help="least overlap of face and box (default 0.5)")
    add("--strict", action="store_true", help="count faces of which less than half shows as wrong")
    add("--set", dest="sets", action="append", choices=list(SEEDS), help="default: all sets")
    add("--only", action="append", default=[], metavar="NAME", help="this episode; repeatable")
    add("--episode", action="append", default=[], type=Path, metavar="FOLDER", help="another one")
    add("--data", type=Path, default=DEFAULT_FOLDER, help="evaluation episodes and caches")
    add("--out", type=Path, default=DEFAULT_FOLDER / "report", help="folder for JSON and picture")
    add("--jobs", type=int, default=2, help="episodes at a time, one core each (default 2)")
    add("--run", type=Path, metavar="RUN_FOLDER", help="a completed run, instead of episodes")
    add("--detections", type=Path, metavar="FILE", help="MOT detections, instead of episodes")
    add("--gt", type=Path, metavar="FILE", help="ground truth for those two: MOT or CVAT")
    add("--fps", type=float, default=25.0, help="of the video of --detections (default 25)")
    add("--size", type=_size, metavar="WxH", help="of its picture (default: edges of boxes)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
