"""A benchmark as tables on the terminal, and as JSON and a picture in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from apps.common.files import storage_errors, write_json
from apps.comparison.plotting import Axes, Figure, FigureCanvasAgg
from lab.benchmark.figures import Benchmark, Case, Limit, Measurement, Row

COLORS = ("#c9c9c9", "#8ab2dc", "#e0b96f", "#9cc07a", "#c793b4", "#a9a9d6", "#e0907f")
LIMIT_COLOR, DOT = "#b03030", "#222222"
DPI = 120
METHOD = (
    "Medians, milliseconds a processed frame; each run is a process of its own, start-up "
    "included, measured from outside (wait4). /plain: over the plain loop (retinaface: over "
    "InsightFace's). Limit: D is decoding what must be decoded and scaling it, I is bare "
    "inference, both by as many threads at once as the product has, start-up not included; CPU "
    "cannot be less than D + I, the wall clock with one thread not either, with more not less "
    "than the largest of D, I and (D + I) / threads, unless inferences run beside each other, "
    "as the product's do. First frame: from the start of the process."
)
FIGURES = {
    "cpu_ratio": "CPU / plain",
    "wall_ratio": "wall / plain",
    "cpu_over_limit": "CPU / limit",
    "wall_over_limit": "wall / limit",
    "peak_rss_mb": "peak MB",
    "first_frame_seconds": "first frame, s",
}


@dataclass(frozen=True)
class _Column:
    title: str
    value: Callable[[Row], str]


_COLUMNS = (
    _Column("case", lambda r: r.case.title),
    _Column("system", lambda r: r.system),
    _Column("frames", lambda r: str(r.frames_done)),
    _Column("faces", lambda r: _shown(r.detections, 0)),
    _Column("wall ms", lambda r: f"{r.wall_ms:.1f}"),
    _Column("CPU ms", lambda r: f"{r.cpu_ms:.1f}"),
    _Column("wall / plain", lambda r: _shown(r.wall_ratio)),
    _Column("CPU / plain", lambda r: _shown(r.cpu_ratio)),
    _Column("wall / limit", lambda r: _shown(r.wall_over_limit)),
    _Column("CPU / limit", lambda r: _shown(r.cpu_over_limit)),
    _Column("peak MB", lambda r: f"{r.peak_rss_mb:.0f}"),
    _Column("first frame s", lambda r: _shown(r.first_frame_seconds)),
)
_WORDS = 2  # columns on the left that hold words


def _shown(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def tables(benchmark: Benchmark) -> RenderableType:
    parts: list[RenderableType] = [_figures(benchmark)]
    if benchmark.verdicts:
        parts.append(_targets(benchmark))
    if benchmark.warnings:
        warnings = Table(show_header=False, style="red")
        for warning in benchmark.warnings:
            warnings.add_row("not the same work", Text(warning))
        parts.append(warnings)
    return Group(*parts)


def _figures(benchmark: Benchmark) -> Table:
    table = Table(title=_title(benchmark), caption=METHOD, caption_justify="left")
    for place, column in enumerate(_COLUMNS):
        justify: JustifyMethod = "left" if place < _WORDS else "right"
        table.add_column(column.title, justify=justify, no_wrap=True)
    limits = dict(benchmark.limits)
    for case in dict.fromkeys(row.case for row in benchmark.rows):
        for row in benchmark.rows:
            if row.case == case:
                table.add_row(*(column.value(row) for column in _COLUMNS))
        if case in limits:
            table.add_row(*_limit_cells(case, limits[case]))
        table.add_section()
    return table


def _limit_cells(case: Case, limit: Limit) -> list[str]:
    parts = f"limit (D {limit.decode_cpu_ms:.1f}, I {limit.inference_cpu_ms:.1f})"
    cells = [case.title, parts, "", "", f"{limit.wall_ms(case.threads):.1f}", f"{limit.cpu_ms:.1f}"]
    return cells + [""] * (len(_COLUMNS) - len(cells))


def _targets(benchmark: Benchmark) -> Table:
    table = Table(title="Targets")
    for place, title in enumerate(("case", "system", "figure", "measured", "at most", "met")):
        table.add_column(title, justify="left" if place < 3 else "right", no_wrap=True)
    for verdict in benchmark.verdicts:
        table.add_row(
            verdict.case.title,
            verdict.system,
            FIGURES[verdict.figure],
            f"{verdict.value:.4g}",
            f"{verdict.max_value:g}",
            "yes" if verdict.met else "no",
            style=None if verdict.met else "red",
        )
    return table


def _title(benchmark: Benchmark) -> str:
    rounds = "1 round" if benchmark.rounds == 1 else f"{benchmark.rounds} rounds"
    return f"{benchmark.video}, {benchmark.frames} frames, {rounds}"


def save(benchmark: Benchmark, folder: Path) -> list[Path]:
    """Writes `benchmark.json` and `.png`.

    Raises:
        StorageFailed: the folder is not writable.
    """
    data, chart = folder / "benchmark.json", folder / "benchmark.png"
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(data, benchmark.to_dict())
        picture(benchmark).savefig(chart, dpi=DPI)
    return [data, chart]


def picture(benchmark: Benchmark) -> Figure:
    """CPU and wall clock; a bar is a median, a dot one run, a line the limit."""
    cases = list(dict.fromkeys(row.case for row in benchmark.rows))
    figure = Figure(figsize=(max(7.0, 2.6 * len(cases)), 7.2), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a window, and without pyplot's global state
    cpu, wall = figure.subplots(2, 1)
    limits = dict(benchmark.limits)
    _panel(cpu, benchmark, cases, lambda r: r.cpu_ms, lambda m: m.cpu_seconds)
    _lines(cpu, {cases.index(case): limit.cpu_ms for case, limit in limits.items()})
    cpu.set_title("CPU, ms a processed frame")
    _panel(wall, benchmark, cases, lambda r: r.wall_ms, lambda m: m.wall_seconds)
    _lines(wall, {cases.index(c): limit.wall_ms(c.threads) for c, limit in limits.items()})
    wall.set_title("Wall clock, ms a processed frame")
    cpu.legend(loc="upper right", ncols=3)
    figure.suptitle(_title(benchmark))
    return figure


def _panel(
    axes: Axes,
    benchmark: Benchmark,
    cases: list[Case],
    median: Callable[[Row], float],
    seconds: Callable[[Measurement], float],
) -> None:
    systems = list(dict.fromkeys(row.system for row in benchmark.rows))
    width = 0.8 / len(systems)
    for number, system in enumerate(systems):
        shift = (number - (len(systems) - 1) / 2) * width
        rows = [row for row in benchmark.rows if row.system == system]
        places = [cases.index(row.case) + shift for row in rows]
        color = COLORS[number % len(COLORS)]
        bars = axes.bar(places, [median(r) for r in rows], 0.92 * width, color=color, label=system)
        axes.bar_label(bars, fmt="%.0f", label_type="center")
        runs = [m for m in benchmark.measurements if m.system == system]
        dots = [cases.index(run.case) + shift for run in runs]
        heights = [1000 * seconds(run) / run.frames_done for run in runs]
        axes.scatter(dots, heights, s=10, color=DOT, zorder=3)
    titles = [case.title.replace(", ", "\n", 1) for case in cases]
    axes.set_xticks(range(len(cases)), titles)
    axes.margins(y=0.4)  # room for the legend


def _lines(axes: Axes, heights: dict[int, float]) -> None:
    for place, height in heights.items():
        label = "limit" if place == min(heights) else ""
        axes.hlines(height, place - 0.45, place + 0.45, color=LIMIT_COLOR, label=label, zorder=4)
