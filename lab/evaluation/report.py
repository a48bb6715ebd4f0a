"""An evaluation as tables on the terminal, as JSON, and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from apps.common.files import storage_errors, write_json
from apps.comparison.plotting import Axes, Figure, FigureCanvasAgg
from lab.evaluation.evaluate_episodes import (
    LIBRARY,
    PRODUCT,
    Measure,
    Result,
    mean_score,
    total_cuts,
    total_score,
)
from lab.evaluation.scores import CutScores, Scores

MEAN = "mean"
DPI = 120
COLOURS = {PRODUCT: "#2f5d8a", LIBRARY: "#c77c3a"}
COST = "#999999"
METHOD = (
    "At the sampled frames only. HOTA, CLEAR and identity figures by trackers.eval. Counts are "
    "summed, shares are averaged over episodes, cuts are pooled. Library: ByteTrackTracker() with "
    "its defaults on the same detections, no shots. Detector: the detections before tracking. "
    "A cut counts when found at the first sampled frame at or after it. A takeover is a track that "
    "goes on with another face, a split a face that goes on in a new track."
)


@dataclass(frozen=True)
class _Column:
    title: str
    field: str
    system: str
    is_share: bool = True


_COLUMNS = (
    *(
        _Column(title, field, PRODUCT)
        for title, field in (
            ("HOTA", "hota"),
            ("DetA", "det_a"),
            ("AssA", "ass_a"),
            ("MOTA", "mota"),
            ("IDF1", "idf1"),
            ("recall", "recall"),
            ("precision", "precision"),
        )
    ),
    _Column("IDsw", "id_switches", PRODUCT, is_share=False),
    _Column("frag", "fragmentations", PRODUCT, is_share=False),
    _Column("takeovers", "takeovers", PRODUCT, is_share=False),
    _Column("splits", "splits", PRODUCT, is_share=False),
    _Column("across", "across_cuts", PRODUCT, is_share=False),
    _Column("detector recall", "detector_recall", PRODUCT),
    _Column("precision", "detector_precision", PRODUCT),
    _Column("library HOTA", "hota", LIBRARY),
    _Column("IDF1", "idf1", LIBRARY),
    _Column("recall", "recall", LIBRARY),
    _Column("IDsw", "id_switches", LIBRARY, is_share=False),
    _Column("takeovers", "takeovers", LIBRARY, is_share=False),
    _Column("splits", "splits", LIBRARY, is_share=False),
    _Column("across", "across_cuts", LIBRARY, is_share=False),
)


def tables(results: Sequence[Result], measure: Measure) -> Iterator[Table]:
    """One table for each set and stride; a row for each episode, and the mean."""
    for set_name in _sets(results):
        for stride in sorted({result.stride for result in results}):
            chosen = _chosen(results, set_name, stride)
            title = f"{set_name}, stride {stride}, boxes matched at IoU {measure.iou:g}"
            yield _table(title, chosen)


def _table(title: str, results: Sequence[Result]) -> Table:
    seconds = sum(result.detector_seconds for result in results)
    minutes = sum(result.video_seconds for result in results) / 60
    table = Table(
        title=title,
        caption=f"Detector: {seconds / minutes:.1f} CPU seconds for a minute of video.",
        show_footer=True,
    )
    table.add_column("episode", footer=MEAN, no_wrap=True)
    for column in _COLUMNS:
        table.add_column(column.title, footer=_footer(column, results), justify="right")
    cuts = total_cuts(results)
    table.add_column("cut F1", footer=f"{cuts.f1:.3f}", justify="right")
    table.add_column("track ms", footer=f"{_mean_ms(results):.2f}", justify="right")
    for result in results:
        cells = [_cell(column, result.scores[column.system]) for column in _COLUMNS]
        table.add_row(
            result.label, *cells, _cut_cell(result.cuts), f"{result.tracker_ms[PRODUCT]:.2f}"
        )
    return table


def _cell(column: _Column, scores: Scores) -> str:
    value = getattr(scores, column.field)
    return f"{value:.3f}" if column.is_share else str(value)


def _footer(column: _Column, results: Sequence[Result]) -> str:
    if column.is_share:
        return f"{mean_score(results, column.system, column.field):.3f}"
    return str(total_score(results, column.system, column.field))


def _cut_cell(cuts: CutScores) -> str:
    """F1, or what was found where there is nothing to find."""
    if cuts.hits + cuts.misses + cuts.false > 0:
        return f"{cuts.f1:.3f}"
    return f"{cuts.gradual_hits}/{cuts.gradual}" if cuts.gradual > 0 else "–"


def _mean_ms(results: Sequence[Result]) -> float:
    return sum(result.tracker_ms[PRODUCT] for result in results) / len(results)


def _sets(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.set_name for result in results))


def _chosen(results: Sequence[Result], set_name: str, stride: int) -> list[Result]:
    return [r for r in results if r.set_name == set_name and r.stride == stride]


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The means of each set and stride, for machines."""
    rows = []
    for set_name in _sets(results):
        for stride in sorted({result.stride for result in results}):
            chosen = _chosen(results, set_name, stride)
            systems = {
                system: {
                    column.field: _mean_or_total(column, chosen, system) for column in _COLUMNS
                }
                for system in (PRODUCT, LIBRARY)
            }
            cuts = total_cuts(chosen)
            rows.append(
                {
                    "set": set_name,
                    "stride": stride,
                    "episodes": len(chosen),
                    **systems,
                    "cuts": asdict(cuts)
                    | {"precision": cuts.precision, "recall": cuts.recall, "f1": cuts.f1},
                    "detector_seconds_a_minute": detector_cost(chosen),
                    "tracker_ms": _mean_ms(chosen),
                }
            )
    return rows


def _mean_or_total(column: _Column, results: Sequence[Result], system: str) -> float:
    value = mean_score if column.is_share else total_score
    return value(results, system, column.field)


def detector_cost(results: Sequence[Result]) -> float:
    """CPU seconds of the detector for a minute of video."""
    minutes = sum(result.video_seconds for result in results) / 60
    return sum(result.detector_seconds for result in results) / minutes


def save(results: Sequence[Result], measure: Measure, folder: Path) -> list[Path]:
    """Writes `evaluation.json` and `evaluation.png`.

    Raises:
        StorageFailed: the folder is not writable.
    """
    document = {
        "method": METHOD,
        "iou": measure.iou,
        "strict": measure.is_strict,
        "means": summary(results),
        "episodes": [result.to_dict() for result in results],
    }
    paths = [folder / "evaluation.json", folder / "evaluation.png"]
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(paths[0], document)
        picture(results).savefig(paths[1], dpi=DPI)
    return paths


def picture(results: Sequence[Result]) -> Figure:
    """Quality against stride, a panel a set; the detector's cost on the second axis."""
    names = _sets(results)
    figure = Figure(figsize=(6 * len(names), 4.4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a window, and without pyplot's global state
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, set_name in zip(panels, names, strict=True):
        _panel(axes, set_name, [r for r in results if r.set_name == set_name])
    return figure


def _panel(axes: Axes, set_name: str, results: Sequence[Result]) -> None:
    strides = sorted({result.stride for result in results})
    places = range(len(strides))

    def line(value: Callable[[Sequence[Result]], float]) -> list[float]:
        return [value(_chosen(results, set_name, stride)) for stride in strides]

    for system in (PRODUCT, LIBRARY):
        for field, style in (("idf1", "-"), ("hota", "--"), ("recall", ":")):
            heights = line(lambda r, s=system, f=field: mean_score(r, s, f))  # type: ignore[misc]
            label = f"{system} {'recall' if field == 'recall' else field.upper()}"
            axes.plot(places, heights, style, color=COLOURS[system], marker="o", ms=4, label=label)
    axes.set_xticks(places, [str(stride) for stride in strides])
    axes.set_xlabel("stride (every n-th frame)")
    axes.set_ylabel("mean over episodes")
    axes.set_ylim(top=1.01)
    axes.set_title(f"{set_name} set, {len({r.label for r in results})} episodes")
    cost = axes.twinx()
    cost.bar(places, line(detector_cost), width=0.3, color=COST, alpha=0.35, zorder=0)
    cost.set_ylabel("detector, CPU s for a minute of video")
    axes.set_zorder(cost.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.legend(loc="lower left", fontsize=8)
