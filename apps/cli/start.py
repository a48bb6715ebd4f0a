"""How a process begins that `apps.runs.launch` starts; imported before all heavy modules."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from apps.common.lifeline import Lifeline


def started_with_line(threads: Callable[[Any], int] = itemgetter("cpu_threads")) -> Lifeline:
    """Ties this process to its launcher, reads its line, and limits what libraries start.

    Args:
        threads: gives the limit of threads out of what the line says.
    """
    lifeline = Lifeline()  # before anything else is imported

    import json

    from apps.common.cpu_limits import apply_global_cpu_limits
    from apps.common.streams import secure_standard_streams

    secure_standard_streams()  # before anything is opened
    apply_global_cpu_limits(threads(json.loads(lifeline.line)))  # before numpy is imported
    return lifeline
