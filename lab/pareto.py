"""Detectors by what they cost and how good their tracks are, as a picture with its Pareto front.

Cost is CPU over the plain loop, of a `benchmark.json` (`lab.bench`); quality is the mean over what
`lab.evaluate` wrote for each system: an `evaluation.json` of a set, or the files of several real
videos (`product=street.json,stage.json`). A system is on the front where none is both cheaper and
better.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES = ("idf1", "recall")
_NAMES = {"idf1": "IDF1", "product": "centerface"}  # as people say


@dataclass(frozen=True)
class Point:
    """One system.

    Args:
        cost: CPU over the plain loop's.
        quality: 0..1, mean over episodes.
    """

    system: str
    cost: float
    quality: float


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other is both cheaper and better than, the cheapest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.quality)):
        if not found or point.quality > found[-1].quality:
            found.append(point)
    return found


def costs(benchmark: dict[str, Any], stride: int) -> dict[str, float]:
    """CPU over plain of every system, in the first case with that stride."""
    rows = [row for row in benchmark["rows"] if row["case"]["stride"] == stride]
    return {
        row["system"]: row["cpu_ratio"]
        for row in rows
        if row["case"] == rows[0]["case"] and row["cpu_ratio"] is not None
    }


def quality(evaluation: dict[str, Any], stride: int, figure: str) -> float:
    """Mean of the product over the episodes of a set, or of one real video.

    Raises:
        LookupError: nothing was evaluated at that stride.
    """
    real = [{**each, **each["scores"]} for each in evaluation.get("results", [])]
    for mean in evaluation.get("means", real):
        if mean["stride"] == stride:
            return float(mean["product"][figure])
    raise LookupError(f"nothing was evaluated at stride {stride}")


def draw(points_of: Mapping[str, Sequence[Point]], target: Path) -> None:
    """Writes the picture, a panel for each figure of quality."""
    from apps.comparison.plotting import Figure, FigureCanvasAgg

    drawing = Figure(figsize=(9.0, 4.2), layout="constrained")
    FigureCanvasAgg(drawing)
    for axes, (figure, points) in zip(
        drawing.subplots(1, len(points_of)), points_of.items(), strict=True
    ):
        best = front(points)
        axes.plot([p.cost for p in best], [p.quality for p in best], color="#3a7abf", zorder=1)
        for place, point in enumerate(sorted(points, key=lambda each: each.cost)):
            color = "#3a7abf" if point in best else "#999999"
            axes.scatter([point.cost], [point.quality], color=color, zorder=2)
            axes.annotate(
                _NAMES.get(point.system, point.system.removeprefix("product-")),
                (point.cost, point.quality),
                textcoords="offset points",
                xytext=(5, (5, -12)[place % 2]),  # neighbours would lie on each other
                fontsize=8,
            )
        axes.set_xlabel("CPU over the plain loop")
        axes.set_title(_NAMES.get(figure, figure))
        axes.margins(0.25)
        axes.grid(alpha=0.3)
    drawing.savefig(target, dpi=120)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    p.add_argument("--benchmark", type=Path, required=True, metavar="FILE")
    p.add_argument("--stride", type=int, default=6, metavar="N", help="default 6")
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png")
    p.add_argument("evaluations", nargs="+", metavar="SYSTEM=FILE,…")
    arguments = p.parse_args()
    try:
        cost = costs(json.loads(arguments.benchmark.read_text()), arguments.stride)
        points_of: dict[str, list[Point]] = {figure: [] for figure in FIGURES}
        for given in arguments.evaluations:
            system, _, files = given.partition("=")
            evaluations = [json.loads(Path(file).read_text()) for file in files.split(",")]
            for figure, points in points_of.items():
                found = [quality(each, arguments.stride, figure) for each in evaluations]
                points.append(Point(system, cost[system], statistics.fmean(found)))
    except (OSError, ValueError, LookupError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    draw(points_of, arguments.out)
    for figure, points in points_of.items():
        best = front(points)
        for point in sorted(points, key=lambda each: each.cost):
            mark = "front" if point in best else ""
            print(f"{figure:<8}{point.system:<24}{point.cost:6.3f}{point.quality:8.3f}  {mark}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
