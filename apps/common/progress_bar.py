"""The bar that people see on a terminal while frames are processed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(console: Console, **options: Any) -> Progress:
    """A bar whose tasks have the fields `rate` (frames a second) and `cpu` (percent).

    Args:
        console: where it is drawn.
        options: keyword arguments for Rich's `Progress`, e.g. `auto_refresh`.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} frames/s"),
        TextColumn("CPU {task.fields[cpu]:.0f} %"),
        TimeRemainingColumn(),
        console=console,
        **options,
    )
