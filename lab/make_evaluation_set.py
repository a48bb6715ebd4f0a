#!/usr/bin/env python3
"""Render the evaluation episodes: ``python -m lab.make_evaluation_set [--out data/evaluation]``.

What is there and current is left alone. `lab.evaluate` renders what it needs by itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from apps.demo.look import Image
from lab.paths import EVALUATION_DATA
from lab.scenes.evaluation_set import RECIPES
from lab.scenes.library import Entry, entries, is_current, render
from lab.scenes.seeds import SEEDS


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parse(argv)
    if options.list:
        Console().print(_overview())
        return 0
    try:
        wanted = list(entries(tuple(options.sets or SEEDS), tuple(options.only or ())))
        rendered = render_missing(wanted, options.out, force=options.force)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(wanted)} episodes in {options.out}, {rendered} of them rendered now")
    return 0


def render_missing(wanted: list[Entry], root: Path, *, force: bool = False) -> int:
    """Render those that are missing or not current; return how many those were."""
    todo = [entry for entry in wanted if force or not is_current(entry, root)]
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        total = sum(entry.episode.frames for entry in todo)
        task = bar.add_task("rendering", total=total)

        def counted(frames: Iterable[Image]) -> Iterable[Image]:
            for frame in frames:
                yield frame
                bar.advance(task)

        for entry in todo:
            bar.update(task, description=f"rendering {entry.episode.ep_id}")
            render(entry, root, counted)
    return len(todo)


def _overview() -> Table:
    table = Table("episode", "size", "frames/s", "tests")
    for recipe in RECIPES:
        rate = "variable" if recipe.is_phone else f"{float(recipe.fps):.5g}"
        table.add_row(recipe.name, f"{recipe.width}x{recipe.height}", rate, recipe.tests)
    return table


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render the evaluation episodes.")
    parser.add_argument("--out", type=Path, default=EVALUATION_DATA, help="default: %(default)s")
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; repeatable")
    parser.add_argument(
        "--set", dest="sets", action="append", choices=list(SEEDS), help="default: all"
    )
    parser.add_argument("--force", action="store_true", help="render even what is current")
    parser.add_argument("--list", action="store_true", help="name the episodes and what they test")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
