"""Who is who, as a table on the terminal, as JSON and as pictures of what went wrong."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from apps.common.files import storage_errors, write_json
from lab.evaluation.evaluate_episodes import in_processes
from lab.evaluation.people import PeopleMeasure, PeopleResult, evaluate_people, people_videos
from lab.evaluation.people_sheet import write_people_sheet
from lab.evaluation.real_clips import data_folder
from lab.scenes.recurring import SETS, TAKES

HEAD = (
    *("video", "stride", "tracks", "left out", "precision", "recall", "F1", "F1 without mixed"),
    *("found", "true", "exactly one", "mixed, s", "mean error, s"),
)


def report_people(arguments: argparse.Namespace, console: Console) -> None:
    """Evaluates the sets that were asked for, prints their table and writes `people.json`.

    With `--errors` it draws the faces of what went wrong as well.

    Raises:
        ScreenalyticsError: a run failed.
    """
    data, root = data_folder(), arguments.data
    videos = list(people_videos(arguments.sets or tuple(SETS), TAKES, data, root))
    videos = [v for v in videos if not arguments.only or v.name in arguments.only]
    measure = PeopleMeasure(arguments.strides, data, root / "cache")
    results = [
        result
        for part in in_processes(partial(evaluate_people, measure=measure), videos, arguments.jobs)
        for result in part
    ]
    places = {video.name: place for place, video in enumerate(videos)}
    results.sort(key=lambda result: (places[result.name], result.stride))
    console.print(people_table(results))
    path: Path = arguments.out / "people.json"
    with storage_errors():
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(path, {"results": [result.to_dict() for result in results]})
    console.print(str(path))
    if arguments.errors:
        titled = [(result.label, result.picked) for result in results]
        picture = write_people_sheet(titled, arguments.out / "people.png")
        console.print("Nobody was grouped wrongly." if picture is None else str(picture))


def people_table(results: Sequence[PeopleResult]) -> Table:
    table = Table(title="Who is who: B-cubed of tracks, weighted by seconds")
    for name in HEAD:
        table.add_column(name, no_wrap=True, justify="left" if name == "video" else "right")
    for result in results:
        score = result.score
        clear = score.clear
        table.add_row(
            *(result.name, str(result.stride), str(score.tracks), str(score.unassigned)),
            *(f"{share:.3f}" for share in (score.b_cubed.precision, score.b_cubed.recall)),
            *(f"{score.b_cubed.f1:.3f}", f"{score.of_pure.f1:.3f}"),
            *(str(score.found), str(len(score.people))),
            f"{sum(person.is_one for person in clear)} of {len(clear)}",
            *(f"{score.mixed_s:.1f}", f"{score.mean_error_s:.2f}"),
        )
    return table
