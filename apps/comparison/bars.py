"""The picture of a comparison: bars of wall clock, CPU and rate. Needs Matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apps.common.schemas import ModeFigures
from apps.comparison.figures import NOT_THE_SAME, Comparison, Measurement
from apps.comparison.plotting import Axes, Figure, FigureCanvasAgg

PALE, STRONG, DOT = "#9db7d5", "#2f5d8a", "#222222"


def picture(comparison: Comparison) -> Figure:
    """Three panels of bars; a dot is one run."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a window, and without pyplot's global state
    wall, cpu, rate = figure.subplots(1, 3)
    modes = [summary.mode for summary in comparison.summaries]
    summaries, runs = comparison.summaries, comparison.measurements
    _bars(wall, "Wall clock, s", modes, [s.wall_seconds for s in summaries])
    _dots(wall, modes, runs, lambda run: run.wall_seconds)
    _bars(rate, "Processed frames a second", modes, [s.frames_per_second for s in summaries])
    _dots(rate, modes, runs, lambda run: run.facts.analyzed_fps)
    _cpu_bars(cpu, modes, summaries)
    heading = comparison.title
    if comparison.warnings:
        heading += f" – {NOT_THE_SAME}, see comparison.md"
    figure.suptitle(heading)
    return figure


def _bars(axes: Axes, title: str, modes: Sequence[str], values: Sequence[float]) -> None:
    bars = axes.bar(modes, values, width=0.6, color=PALE)
    axes.bar_label(bars, fmt="%.1f", label_type="center")
    axes.set_title(title)


def _dots(
    axes: Axes,
    modes: Sequence[str],
    runs: Sequence[Measurement],
    value: Callable[[Measurement], float],
) -> None:
    places = [modes.index(run.mode) for run in runs]
    axes.scatter(places, [value(run) for run in runs], s=12, color=DOT, zorder=3)


def _cpu_bars(axes: Axes, modes: Sequence[str], summaries: Sequence[ModeFigures]) -> None:
    kinds = (
        ("mean", PALE, -0.2, [s.mean_percent or 0.0 for s in summaries]),
        ("peak", STRONG, 0.2, [s.peak_percent or 0.0 for s in summaries]),
    )
    for name, color, shift, values in kinds:
        places = [index + shift for index in range(len(modes))]
        bars = axes.bar(places, values, width=0.38, color=color, label=name)
        axes.bar_label(bars, fmt="%.0f")
    axes.set_xticks(range(len(modes)), modes)
    axes.margins(y=0.2)  # room for the legend
    axes.legend(loc="upper right", ncols=2)
    axes.set_title("CPU of the run, % (100 is one core)")
