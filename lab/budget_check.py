"""Does a run keep to its CPU budget? Counted from outside, over every five seconds.

Runs `tools/episode_run.py` on a long video (a short one, its packets copied) with each budget and
with none, and looks at the CPU time of its process tree ten times a second, from the start of the
process to its end. A budget holds where no window of five seconds is more than 10 % above it and
the whole run no more than 5 %; a run that stays below says that it could have been faster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from apps.common.files import shown
from apps.common.layout import Layout
from apps.common.settings import Settings
from lab.benchmark.command import exit_code_of, find_video, machine
from lab.benchmark.figures import Case
from lab.benchmark.inputs import long_video, read_source
from lab.benchmark.systems import product
from lab.benchmark.windows import Watched, watch

WINDOW_SECONDS = 5.0
WINDOW_TOLERANCE = 0.10  # above the budget, over any window
RUN_TOLERANCE = 0.05  # above or below, over the run
_FRAMES = 6000


@dataclass(frozen=True)
class Row:
    """One run. Percents are of one core.

    Args:
        budget_percent: None where there was none.
        mean_percent: from the process's start to its end.
        lowest_percent, highest_percent: over any window.
        frames_per_second: processed frames over the process's life.
        frames_per_core_second: the same over the budget, or over the mean where there is none.
    """

    budget_percent: float | None
    seconds: float
    cpu_seconds: float
    mean_percent: float
    lowest_percent: float
    highest_percent: float
    frames: int
    frames_per_second: float
    frames_per_core_second: float

    def verdict(self) -> str:
        """Says in words whether the budget held; empty where there was none."""
        if self.budget_percent is None:
            return ""
        if self.highest_percent > (1 + WINDOW_TOLERANCE) * self.budget_percent:
            return "a window is too high"
        if self.mean_percent > (1 + RUN_TOLERANCE) * self.budget_percent:
            return "the run is too high"
        if self.mean_percent < (1 - RUN_TOLERANCE) * self.budget_percent:
            return "held, but below it"
        return "held"


def main() -> int:
    arguments = parser().parse_args()
    return exit_code_of(lambda: check(arguments))


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0] if __doc__ else None,
    )
    p.add_argument("--video", type=Path, metavar="FILE", help="short video to make a long one from")
    p.add_argument("--frames", type=int, default=_FRAMES, metavar="N", help=f"default {_FRAMES}")
    p.add_argument("--stride", type=int, default=6, metavar="N", help="default 6")
    p.add_argument("--threads", type=int, default=2, metavar="N", help="default 2")
    p.add_argument(
        "--budgets", default="50,100,150", metavar="P,P", help="percents; default 50,100,150"
    )
    p.add_argument("--save-preview", action="store_true", help="every run makes its preview")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of caches and results")
    p.add_argument("--out", type=Path, metavar="FILE", help="JSON; default in the data root")
    return p


def check(arguments: argparse.Namespace) -> int:
    """Measures a run with each budget and one without; returns the exit status.

    It is 0 where no budget was exceeded, and 1 where one was.

    Raises:
        ScreenalyticsError: with a sentence on what to do.
    """
    layout = Layout(Settings.read(data_root=arguments.data_root).data_root.resolve())
    source = read_source(find_video(arguments.video))
    copies = source.copies_for(arguments.frames)
    video = long_video(source, source.codec, source.height, copies, layout.cache / "benchmark")
    case = Case(source.height, arguments.stride, arguments.threads, source.codec)
    load_before, rows = os.getloadavg()[0], []
    print(f"{case.title}, {copies * source.frames} frames; load {load_before:.1f} before")
    print("budget  mean %  5 s: lowest  highest  frames/s  frames/core s  verdict")
    with tempfile.TemporaryDirectory(prefix="budget-") as scratch:
        for budget in (*map(float, arguments.budgets.split(",")), None):
            words = product(Path(scratch), *options(budget, arguments.save_preview))(case, video)
            rows.append(row_of(budget, watch(words, "episode_run.py")))
            print(line(rows[-1]), flush=True)
    path = save(arguments, rows, layout, load_before)
    print(f"Load {os.getloadavg()[0]:.1f} after. Saved {shown(path)}")
    return 0 if all("too high" not in row.verdict() for row in rows) else 1


def options(budget: float | None, preview: bool) -> tuple[str, ...]:
    """The options with which `tools/episode_run.py` is started, beside those of all runs."""
    cap = () if budget is None else ("--max-cpu-percent", f"{budget:g}")
    return (*cap, *(("--save-preview",) if preview else ()))


def row_of(budget: float | None, watched: Watched) -> Row:
    frames = int(json.loads(watched.output[-1])["frames_done"])
    lowest, highest = watched.window_percents(WINDOW_SECONDS)
    seconds, mean = watched.seconds[-1], watched.mean_percent
    rate = frames / seconds
    cores = (mean if budget is None else budget) / 100
    return Row(
        budget_percent=budget,
        seconds=round(seconds, 2),
        cpu_seconds=round(watched.cpu_seconds[-1], 2),
        mean_percent=round(mean, 1),
        lowest_percent=round(lowest, 1),
        highest_percent=round(highest, 1),
        frames=frames,
        frames_per_second=round(rate, 2),
        frames_per_core_second=round(rate / cores, 2),
    )


def line(row: Row) -> str:
    budget = "none" if row.budget_percent is None else f"{row.budget_percent:g}"
    return (
        f"{budget:>6}{row.mean_percent:>8}{row.lowest_percent:>13}{row.highest_percent:>9}"
        f"{row.frames_per_second:>10}{row.frames_per_core_second:>15}  {row.verdict()}"
    )


def save(
    arguments: argparse.Namespace, rows: Sequence[Row], layout: Layout, load_before: float
) -> Path:
    now = datetime.now(UTC)
    usual = layout.root / "benchmarks" / f"budget-{now:%Y%m%dT%H%M%S}.json"
    path: Path = usual if arguments.out is None else arguments.out
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "created_at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "window_seconds": WINDOW_SECONDS,
        "rows": [{**asdict(row), "verdict": row.verdict()} for row in rows],
    }
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
