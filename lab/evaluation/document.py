"""docs/quality.md: the figures of an evaluation for people, as Markdown and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.common.files import storage_errors, write_atomic
from apps.comparison.plotting import Figure, FigureCanvasAgg
from lab.evaluation.ablation import ABLATIONS
from lab.evaluation.detection import THRESHOLDS, Looked, bands, together
from lab.evaluation.evaluate_episodes import (
    LIBRARY,
    PRODUCT,
    Result,
    mean_score,
    total_cuts,
    total_score,
)
from lab.evaluation.people import PeopleResult
from lab.evaluation.people_document import people_section
from lab.evaluation.real_clips import Real
from lab.evaluation.real_document import markdown_table, section, write_picture
from lab.evaluation.report import DPI, METHOD, detector_cost, picture
from lab.evaluation.rows import Frames, Truth
from lab.evaluation.screen_time import HEAD, ScreenScore, explained, table_rows
from lab.evaluation.tracker_only import Contest
from lab.scenes.evaluation_set import RECIPES
from lab.scenes.seeds import SEEDS

NAME = "quality.md"
WORST = 4  # episodes of which a picture is drawn
_TITLE = """# How good the tracks are

Written by `make quality`; do not edit. First real videos, on which people marked faces and cuts by
eye; then rendered episodes, of which everything is known.

The *product* is this one, the *library* is ByteTrack of the `trackers` package with its defaults,
on the same detections. IDF1 is how far each face keeps one identity, HOTA weighs finding a face and
keeping it alike, MOTA counts mistakes; 1 is perfect. A switch is a face that goes on in another
track.
"""
_RENDERED = """## Rendered episodes

Numbers were chosen on real videos (docs/cuts.md has more of them) and on the *tuning* set (seeds
{tuning}); the *heldout* set (seeds {heldout}) has other people, places, speeds and timings. Every
recipe of `lab/scenes/evaluation_set.py` is rendered for each seed. {method}
"""


@dataclass(frozen=True)
class Evaluation:
    """All that the document tells.

    Args:
        real: what the real videos gave.
        results: one for each rendered episode and stride, of all sets.
        seconds: time on the screen, found and true, by the title of its rows in the table.
        looked: what the detector found, by name of the recipe; first take of the tuning set.
        suppressed: the same pooled, by the IoU (0..1) from which two boxes are one face.
        sizes: what it found on the wide shot, by the long side of its picture, pixels.
        contests: trackers on given detections, one contest for each stride.
        worst: tracks and identities of the worst episodes, by title.
        people: how well tracks were grouped into people.
    """

    real: Real
    results: Sequence[Result]
    seconds: Mapping[str, Sequence[ScreenScore]]
    looked: Mapping[str, Looked]
    suppressed: Mapping[float, Looked]
    sizes: Mapping[int, Looked]
    contests: Sequence[Contest]
    worst: Mapping[str, tuple[Truth, Frames, float]]
    people: Sequence[PeopleResult] = ()


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes `quality.md` and its pictures.

    `quality-real.png` is written where real videos have errors.

    Raises:
        StorageFailed: the folder is not writable.
    """
    paths = [folder / name for name in (NAME, "quality.png", "quality-worst.png")]
    text = "\n".join(_document(evaluation))
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(paths[0], (text + "\n").encode())
        picture(evaluation.results).savefig(paths[1], dpi=DPI)
        _worst_picture(evaluation.worst).savefig(paths[2], dpi=DPI)
    real = write_picture(evaluation.real, folder)
    return paths if real is None else [*paths, real]


def _document(evaluation: Evaluation) -> Iterator[str]:
    seeds = {name: ", ".join(map(str, of_set)) for name, of_set in SEEDS.items()}
    yield _TITLE
    yield from section(evaluation.real)
    yield from people_section(evaluation.people)
    yield from _tracker_only(evaluation.contests)
    yield _RENDERED.format(**seeds, method=METHOD)
    yield "![Quality against stride](quality.png)\n"
    yield from _means(evaluation.results)
    yield from _seconds(evaluation.seconds)
    yield from _episodes(evaluation.results)
    yield from _worst(evaluation)
    yield from _ablations(evaluation.results)
    yield from _detector(evaluation)


def _means(results: Sequence[Result]) -> Iterator[str]:
    yield "### Means\n"
    head = ["set", "stride", "IDF1", "library", "HOTA", "library", "recall", "of the detector"]
    head += ["takeovers", "library", "splits", "library", "switches", "library"]
    head += ["tracks across cuts", "library", "cut F1", "tracker ms"]
    rows = []
    for set_name, stride, chosen in _groups(results):
        cells = [set_name, str(stride)]
        for field in ("idf1", "hota"):
            cells += [f"{mean_score(chosen, s, field):.3f}" for s in (PRODUCT, LIBRARY)]
        cells += [f"{mean_score(chosen, PRODUCT, f):.3f}" for f in ("recall", "detector_recall")]
        for field in ("takeovers", "splits", "id_switches", "across_cuts"):
            cells += [str(total_score(chosen, s, field)) for s in (PRODUCT, LIBRARY)]
        milliseconds = sum(result.tracker_ms[PRODUCT] for result in chosen) / len(chosen)
        rows.append([*cells, f"{total_cuts(chosen).f1:.3f}", f"{milliseconds:.2f}"])
    yield from markdown_table(head, rows)
    costs = ", ".join(
        f"stride {stride} {detector_cost(chosen):.1f} s"
        for set_name, stride, chosen in _groups(results)
        if set_name == results[0].set_name
    )
    yield f"CPU of the detector for a minute of video: {costs}.\n"


def _seconds(seconds: Mapping[str, Sequence[ScreenScore]]) -> Iterator[str]:
    yield "### Seconds on the screen\n"
    yield (
        "What was found against what is true, by stride. The stated error is that of sampling "
        "alone; the detector's mistakes are not in it: faces that it misses (blurred ones) take "
        "away from the sum, those that it finds though less than half of them shows add to it. "
        "At stride 1 nothing else is left.\n"
    )
    rows = [(name, *row) for name, scores in seconds.items() for row in table_rows(scores)]
    yield from markdown_table(("of", *HEAD), rows)
    yield "\n".join(f"- {line}" for line in explained(HEAD)) + "\n"


def _groups(results: Sequence[Result]) -> Iterator[tuple[str, int, list[Result]]]:
    for set_name in dict.fromkeys(result.set_name for result in results):
        for stride in sorted({result.stride for result in results}):
            chosen = [r for r in results if (r.set_name, r.stride) == (set_name, stride)]
            yield set_name, stride, chosen


def _episodes(results: Sequence[Result]) -> Iterator[str]:
    strides = sorted({result.stride for result in results})
    sets = list(dict.fromkeys(result.set_name for result in results))
    yield "### Every episode\n"
    yield (
        f"IDF1 of the product / of the library, at strides {', '.join(map(str, strides))}; mean "
        "of the takes, and in brackets the worst one of the product.\n"
    )
    rows = []
    names = {result.name for result in results}
    for recipe in (one for one in RECIPES if one.name in names):
        cells = [recipe.name, recipe.tests]
        for set_name in sets:
            takes = [r for r in results if (r.set_name, r.name) == (set_name, recipe.name)]
            cells.append("<br>".join(_of_takes(takes, stride) for stride in strides))
        rows.append(cells)
    yield from markdown_table(["episode", "what it tests", *sets], rows)


def _of_takes(takes: Sequence[Result], stride: int) -> str:
    chosen = [result for result in takes if result.stride == stride]
    ours, theirs = (mean_score(chosen, system, "idf1") for system in (PRODUCT, LIBRARY))
    worst = min(result.scores[PRODUCT].idf1 for result in chosen)
    return f"{ours:.2f} / {theirs:.2f} ({worst:.2f})"


def title(result: Result) -> str:
    """Names an episode at a stride in the document."""
    return f"{result.set_name} {result.label}, stride {result.stride}"


def _worst(evaluation: Evaluation) -> Iterator[str]:
    yield "### The worst failures\n"
    yield (
        "Each line is a face's place from left to right against time; grey is what is true, "
        "colours are tracks. A colour that changes along a grey line is a track that broke.\n"
    )
    yield "![The worst episodes](quality-worst.png)\n"
    for result in evaluation.results:
        if title(result) in evaluation.worst:
            yield f"- **{title(result)}**: {_sentence(result)}"
    yield ""


def _sentence(result: Result) -> str:
    scores, errors = result.scores[PRODUCT], result.errors
    if not errors:
        return (
            f"no track changes its face and no face its track; {scores.tracks} tracks stand for "
            f"{scores.identities} visits."
        )
    worst = max(errors, key=lambda error: error.jump)
    return (
        f"{scores.takeovers} takeovers, {scores.splits} splits. The farthest jump between two "
        f"sightings is {worst.jump:.1f} face sizes, at frame {worst.frame} after {worst.gap} "
        "frames."
    )


def _ablations(results: Sequence[Result]) -> Iterator[str]:
    strides = sorted({result.stride for result in results})
    tuning = [result for result in results if result.set_name == "tuning"]
    yield "### What each part and number buys\n"
    yield "Mean IDF1 on the tuning set, and switches in all episodes, when one thing is changed.\n"
    rows = []
    for ablation in ABLATIONS:
        cells = [ablation.name]
        for stride in strides:
            scores = [r.ablations[ablation.name] for r in tuning if r.stride == stride]
            switches = sum(score.id_switches for score in scores)
            cells.append(f"{np.mean([score.idf1 for score in scores]):.3f} ({switches})")
        rows.append(cells)
    yield from markdown_table(["change", *(f"stride {stride}" for stride in strides)], rows)


def _detector(evaluation: Evaluation) -> Iterator[str]:
    pooled = together(evaluation.looked.values())
    yield "### The detector alone\n"
    yield "Recall by the face's height in the detector's picture; first take of the tuning set.\n"
    head = ["height, px", "faces", *(f"threshold {t:g}" for t in THRESHOLDS)]
    rows = []
    for low, high in bands():
        if pooled.faces(low, high) > 0:
            name = f"{low} to {high}" if high < 1000 else f"from {low}"
            recall = [f"{pooled.recall(t, low, high):.3f}" for t in THRESHOLDS]
            rows.append([name, str(pooled.faces(low, high)), *recall])
    rows.append(["all", str(pooled.faces()), *(f"{pooled.recall(t):.3f}" for t in THRESHOLDS)])
    rows.append(["*precision*", "", *(f"{pooled.precision(t):.3f}" for t in THRESHOLDS)])
    yield from markdown_table(head, rows)
    yield "By what makes it hard:\n"
    rows = [
        [name, str(one.faces()), *(f"{one.recall(t):.3f}" for t in THRESHOLDS)]
        for name, one in evaluation.looked.items()
    ]
    yield from markdown_table(["episode", "faces", *head[2:]], rows)
    yield "By the overlap (IoU) from which two boxes are one face (`nms_iou`), at threshold 0.5:\n"
    rows = [
        [f"{iou:g}", f"{one.recall(0.5):.4f}", f"{one.precision(0.5):.4f}"]
        for iou, one in evaluation.suppressed.items()
    ]
    yield from markdown_table(["nms_iou", "recall", "precision"], rows)
    yield "A wide shot in 1280 x 720, by the size of the detector's picture (`det_size`):\n"
    rows = [
        [str(size), *_wide(one), f"{one.milliseconds:.0f}"]
        for size, one in evaluation.sizes.items()
    ]
    yield from markdown_table(["det_size", "height, px", "recall at 0.5", "CPU ms a frame"], rows)


def _wide(one: Looked) -> list[str]:
    return [f"{one.heights.min():.0f} to {one.heights.max():.0f}", f"{one.recall(0.5):.3f}"]


def _tracker_only(contests: Sequence[Contest]) -> Iterator[str]:
    if not contests:
        return
    yield "## People in a street\n"
    yield (
        "MOT Challenge's TUD-Campus with its public detections, whole people instead of faces; "
        "trackers alone. The library's best is the best of 64 settings at that stride, by the "
        "figure named; the product's settings for people are one set for both strides, of 2,000 "
        "that were tried.\n"
    )
    rows = [
        [
            str(contest.stride),
            row.name,
            *(f"{value:.3f}" for value in (row.scores.hota, row.scores.idf1, row.scores.mota)),
            *(str(value) for value in (row.scores.id_switches, row.scores.tracks)),
        ]
        for contest in contests
        for row in contest.rows
    ]
    yield from markdown_table(
        ["stride", "tracker", "HOTA", "IDF1", "MOTA", "switches", "tracks"], rows
    )


def _worst_picture(worst: Mapping[str, tuple[Truth, Frames, float]]) -> Figure:
    figure = Figure(figsize=(13, 3.0 * max(1, len(worst))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(max(1, len(worst)), 1, squeeze=False)[:, 0]
    for axes, (name, (truth, found, fps)) in zip(panels, worst.items(), strict=False):
        for frames, style in ((truth.rows, "truth"), (found, "tracks")):
            for number, (times, places) in _lines(frames, fps).items():
                if style == "truth":
                    axes.plot(times, places, color="#cccccc", lw=7, solid_capstyle="round")
                else:
                    axes.plot(times, places, color=f"C{number % 10}", marker="o", ms=3, lw=1.2)
        for cut in truth.cuts:
            axes.axvline(cut / fps, color="#888888", ls=":", lw=1)
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_ylabel("x, pixels")
        axes.margins(x=0.01)
    panels[-1].set_xlabel("seconds")
    return figure


def _lines(frames: Frames, fps: float) -> dict[int, tuple[list[float], list[float]]]:
    lines: dict[int, tuple[list[float], list[float]]] = {}
    for frame in sorted(frames):
        for number, box in zip(frames[frame].ids, frames[frame].boxes, strict=True):
            if number > 0:
                times, places = lines.setdefault(int(number), ([], []))
                times.append(frame / fps)
                places.append(float(box[0] + box[2]) / 2)
    return lines
