"""The work of `python -m lab.evaluate`: what its arguments ask for, judged and shown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from apps.common.errors import InvalidInput, ScreenalyticsError
from lab.evaluation import existing_run, people_report, real_report, report, tracker_only
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
from lab.evaluation.sheet import Sheet, write_sheet
from lab.evaluation.shot_truth import Shots, read_shots
from lab.evaluation.variant import Variant
from lab.make_evaluation_set import render_missing
from lab.scenes.library import entries
from lab.scenes.seeds import SEEDS

FILE_WIDTH = 260  # columns of the tables where no terminal says how many it has
OTHERS = "other"  # the set of episodes that are given by folder


def evaluate(arguments: argparse.Namespace) -> int:
    """Judges what `lab.evaluate` was asked for; returns the exit status."""
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    try:
        if arguments.detections is not None:
            _evaluate_tracker_only(arguments, console)
        elif arguments.people:
            people_report.report_people(arguments, console)
        elif arguments.run is not None:
            _evaluate_run(arguments, console)
        elif arguments.video is not None:
            _evaluate_video(arguments, console)
        else:
            _evaluate_episodes(arguments, console)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
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
        variant=_variant(arguments),
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


def _evaluate_tracker_only(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.gt is None:
        raise InvalidInput("There is no ground truth.", hint="Give it with --gt FILE.")
    given = tracker_only.Given(
        arguments.detections, arguments.gt, arguments.fps, arguments.size, arguments.marked_every
    )
    for contest in tracker_only.contests(given, arguments.strides, arguments.iou):
        console.print(tracker_only.table(contest, arguments.iou))


def _evaluate_run(arguments: argparse.Namespace, console: Console) -> None:
    faces, shots = _marked(arguments)
    run = existing_run.read_existing(arguments.run)
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


def _video_of(run: existing_run.ExistingRun, given: Path | None, console: Console) -> Path | None:
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
    variant = _variant(arguments)
    clip = Clip(arguments.video.stem, arguments.video, faces, shots)
    results = evaluate_clip(
        clip,
        arguments.strides,
        arguments.iou,
        arguments.data / "cache",
        strict=arguments.strict,
        variant=variant,
    )
    note = "" if faces is None else faces.note
    if not variant.is_usual:
        note = f"{note} The product runs with {variant}.".lstrip()
    for table in real_report.tables(results, arguments.iou, note):
        console.print(table)
    errors = [(f"stride {r.stride}", error) for r in results for error in r.errors.get(PRODUCT, ())]
    _print_errors(console, errors, arguments)
    console.print(str(real_report.save(results, arguments.iou, note, arguments.out)))
    sheets = [result.sheet(with_pictures=True) for result in results]
    _draw(sheets, clip.name, console, arguments)


def _variant(arguments: argparse.Namespace) -> Variant:
    return Variant(
        arguments.detector,
        arguments.precision,
        arguments.small_faces,
        arguments.reuse_still,
        arguments.decode,
        arguments.detector_model,
    )


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
