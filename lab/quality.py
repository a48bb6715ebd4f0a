"""Measure tracks, seconds, cuts and the detector, and write docs/quality.md: `make quality`.

Real videos come first, as far as the folder of test data has them (SCREENALYTICS_TEST_DATA, default
../shared/data). Then the evaluation episodes; missing ones are rendered. What the detector found in
a picture is remembered, so only the first time takes long. `--real-only` measures the real videos
alone, prints their part of the document and draws its picture; `--people-only` measures who is
who alone, and replaces that part of the document that is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from apps.common.errors import ScreenalyticsError
from apps.common.files import storage_errors, write_atomic
from apps.common.layout import Layout
from apps.demo.encode import VIDEO_NAME, write_episode
from apps.demo.episode import DEMO_EP_ID, demo_episode
from lab import arguments as values
from lab.arguments import RENDERED_IOU
from lab.evaluation import document, real_document
from lab.evaluation.detection import NMS_OVERLAPS, Looked, look_at, look_with_each_nms, together
from lab.evaluation.evaluate_episodes import (
    PRODUCT,
    Episode,
    Measure,
    Result,
    evaluate_all,
    in_order,
    in_processes,
)
from lab.evaluation.people import (
    CLIPS,
    PeopleMeasure,
    PeopleResult,
    evaluate_people,
    people_videos,
)
from lab.evaluation.people_document import people_section, with_section
from lab.evaluation.real_clips import data_folder, measure_real
from lab.evaluation.rows import Frames, Truth, read_truth
from lab.evaluation.screen_time import STRIDES as SECONDS_STRIDES
from lab.evaluation.screen_time import ScreenScore, measure_seconds
from lab.evaluation.systems import run_product
from lab.evaluation.tracker_only import Contest, Given, contests
from lab.make_evaluation_set import render_missing
from lab.paths import CHECKOUT, EVALUATION_DATA
from lab.scenes.evaluation_set import RECIPES, episode_id, make_episode
from lab.scenes.library import Entry, entries
from lab.scenes.recurring import SETS, TAKES
from lab.scenes.seeds import SEEDS

STREET = "mot/TUD-Campus"  # in the folder of test data
STREET_SIZE = (640, 480)
DETECTOR_SIZES = (640, 960, 1280)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        if arguments.real_only:
            _print_real(arguments)
            return 0
        if arguments.people_only:
            print(_replace_people(arguments, console))
            return 0
        evaluation = _evaluate(arguments, console)
        for path in document.write(evaluation, arguments.out):
            print(path)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _print_real(arguments: argparse.Namespace) -> None:
    real = measure_real(data_folder(), arguments.data / "cache")
    print("\n".join(real_document.section(real)))
    real_document.write_picture(real, arguments.out)


def _replace_people(arguments: argparse.Namespace, console: Console) -> Path:
    path: Path = arguments.out / document.NAME
    with storage_errors():
        lines = list(people_section(_people(arguments, console)))
        text = with_section(path.read_text(encoding="utf-8"), lines)
        write_atomic(path, text.encode())
    return path


def _people(arguments: argparse.Namespace, console: Console) -> list[PeopleResult]:
    data = data_folder()
    measure = PeopleMeasure(
        arguments.strides, data, arguments.data / "cache", ablated_sets=("tuning", CLIPS)
    )
    videos = list(people_videos(tuple(SETS), TAKES, data, arguments.data))
    results: list[PeopleResult] = []
    for part in in_processes(partial(evaluate_people, measure=measure), videos, arguments.jobs):
        console.print(f"people: {part[0].name}")
        results += part
    places = {video.name: place for place, video in enumerate(videos)}
    return sorted(results, key=lambda result: (places[result.name], result.stride))


def _evaluate(arguments: argparse.Namespace, console: Console) -> document.Evaluation:
    data, cache = arguments.data, arguments.data / "cache"
    real = measure_real(data_folder(), cache)
    wanted = list(entries(tuple(SEEDS), tuple(arguments.only)))
    wide = _wide_shot()
    render_missing([*wanted, wide], data)
    measure = Measure(arguments.strides, RENDERED_IOU, False, cache, ablated_sets=("tuning",))
    episodes = [Episode.of(entry, data) for entry in wanted]
    results: list[Result] = []
    for number, part in enumerate(evaluate_all(episodes, measure, arguments.jobs), 1):
        console.print(f"{number} of {len(episodes)}: {part[0].set_name} {part[0].label}")
        results += part
    results = in_order(episodes, results)
    first = [e for e in episodes if (e.set_name, e.take) == ("tuning", 1)]
    looked = {episode.name: _look(episode.folder, 640, cache) for episode in first}
    suppressed = _suppressed([episode.folder for episode in first], cache)
    sizes = {size: _look(wide.folder(data), size, cache) for size in DETECTOR_SIZES}
    worst = dict(_worst(results, data, cache))
    return document.Evaluation(
        real,
        results,
        _seconds(results, first, arguments),
        looked,
        suppressed,
        sizes,
        list(_street(arguments.strides)),
        worst,
        _people(arguments, console),
    )


def _seconds(
    results: list[Result], first: list[Episode], arguments: argparse.Namespace
) -> dict[str, list[ScreenScore]]:
    """Seconds on the screen, by what they are of; at strides that were evaluated, none runs again.

    Args:
        first: the first take of the tuning set.
    """
    data, cache = arguments.data, arguments.data / "cache"
    write_episode(demo_episode(), data)
    demo = Layout(data).episode(DEMO_EP_ID)
    missing = [stride for stride in SECONDS_STRIDES if stride not in arguments.strides]
    measure = partial(measure_seconds, strides=missing, cache=cache)
    folders = [episode.folder for episode in first]
    more = [score for scores in in_processes(measure, folders, arguments.jobs) for score in scores]
    names = {folder.name for folder in folders}
    known = [result.screen for result in results if result.screen.name in names]
    return {
        "tuning, first take": [s for s in (*known, *more) if s.stride in SECONDS_STRIDES],
        "heldout": [result.screen for result in results if result.set_name == "heldout"],
        "the demo": measure_seconds(demo, SECONDS_STRIDES, cache),
    }


def _wide_shot() -> Entry:
    """The small faces once more, in a picture that a larger detector can make use of."""
    [small] = [recipe for recipe in RECIPES if recipe.name == "small"]
    recipe = replace(small, name="wide", width=1280, height=720)
    return Entry("tuning", recipe, make_episode("tuning", recipe))


def _look(folder: Path, det_size: int, cache: Path) -> Looked:
    return look_at(folder / VIDEO_NAME, folder.name, read_truth(folder), det_size, cache)


def _suppressed(folders: list[Path], cache: Path) -> dict[float, Looked]:
    each = [
        look_with_each_nms(folder / VIDEO_NAME, folder.name, read_truth(folder), cache)
        for folder in folders
    ]
    return {iou: together(one[iou] for one in each) for iou in NMS_OVERLAPS}


def _worst(
    results: list[Result], data: Path, cache: Path
) -> Iterator[tuple[str, tuple[Truth, Frames, float]]]:
    """The tracks of the worst episodes that are sampled sparsely, no recipe twice."""
    sparse = [result for result in results if result.stride > 1] or results
    taken: set[str] = set()
    for result in sorted(sparse, key=lambda result: result.scores[PRODUCT].idf1):
        if result.name in taken or len(taken) == document.WORST:
            continue
        taken.add(result.name)
        folder = Layout(data).episode(episode_id(result.set_name, result.name, result.take))
        run = run_product(folder / VIDEO_NAME, folder.name, result.stride, cache)
        fps = read_truth(folder).frames / result.video_seconds
        yield document.title(result), (read_truth(folder), run.found.rows, fps)


def _street(strides: tuple[int, ...]) -> Iterator[Contest]:
    folder = data_folder() / STREET
    if folder.is_dir():
        given = Given(folder / "det.txt", folder / "gt.txt", 25.0, STREET_SIZE)
        yield from contests(given, sorted({1, 4, *(s for s in strides if s < 6)}), RENDERED_IOU)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--strides", type=values.strides, default=(1, 6, 12), help="default: 1,6,12")
    names = [recipe.name for recipe in RECIPES]
    add(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="NAME",
        help="this recipe; repeatable",
    )
    add("--data", type=Path, default=EVALUATION_DATA, help="evaluation episodes and caches")
    add("--out", type=Path, default=CHECKOUT / "docs", help="folder of the document")
    add("--real-only", action="store_true", help="the real videos alone, to the terminal")
    add("--people-only", action="store_true", help="who is who alone, into the document")
    add(
        "--jobs",
        type=values.positive,
        default=2,
        help="episodes at a time, one core each (default 2)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
